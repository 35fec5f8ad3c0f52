"""How fast are one Langevin step and one training update, against the tutorial's own loop on the same network?

python benchmarks/langevin.py [--rounds 15]
"""

import argparse

import torch

from ebmnist.data import MNIST
from ebmnist.energy import ConvNet
from ebmnist.recipe import load_recipe
from ebmnist.sampling import Langevin, run_chain
from ebmnist.training import train_step
from paired import paired, publish
from tutorial import TutorialTrainer, tutorial_chain, tutorial_net

BATCH = 128
STEPS = 20


def chain_table(rounds: int) -> dict[str, dict[str, object]]:
    """One step's share of a chain of 20, 128 chains, the tutorial's network."""
    net = tutorial_net()
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, 1, 28, 28)
    works = {"the tutorial's loop, fp32": lambda: tutorial_chain(net, 2 * x - 1, STEPS)}
    for label, precision in (("ebmnist, fp32", "fp32"), ("ebmnist, precision auto", "auto")):
        energy = ConvNet(width=16, precision=precision)
        works[label] = lambda energy=energy: run_chain(energy, Langevin(), x, STEPS, rng=rng)
    table = paired(works, rounds=rounds, repeats=3)
    return {name: {**row, "median_ms": row["median_ms"] / STEPS} for name, row in table.items()}


def update_table(rounds: int) -> dict[str, dict[str, object]]:
    """A whole training update, buffer included: the tutorial's of 60 steps, ours of 60 and of the default's 20."""
    images = MNIST().load().train.images[:BATCH]
    trainer = TutorialTrainer(tutorial_net())
    works = {"the tutorial: width 16, 60 steps": lambda: trainer.update(2 * images - 1)}
    base = load_recipe("mnist")
    for label, width, n_steps in (
        ("ebmnist: width 16, 60 steps", 16, 60),
        ("ebmnist: width 16, 20 steps", 16, 20),
        ("ebmnist: recipe mnist as it is", None, None),
    ):
        fields = [] if width is None else ["--energy.width", str(width), "--training.n_steps", str(n_steps)]
        state = base.overridden(fields).make_state()
        works[label] = lambda state=state: train_step(state, images)
    return paired(works, rounds=rounds, repeats=1, warmup=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    n_rounds = parser.parse_args().rounds
    publish(
        "langevin",
        "Langevin steps and training updates against the tutorial's loop",
        {
            "one Langevin step, 128 chains, tutorial's network": chain_table(n_rounds),
            "one training update, batch 128": update_table(n_rounds),
        },
    )
