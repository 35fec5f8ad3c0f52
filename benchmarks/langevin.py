"""How fast are a chain and a whole training update, buffer included, against the tutorial's?

Chains are of 20 steps, and of one, on the tutorial's network; updates are on real MNIST. The first row is the
tutorial's; but recipe mnist is compared with itself by PyTorch, too.

  python benchmarks/langevin.py               under a minute on two cores
  python benchmarks/langevin.py --rounds 2    a trial
"""

import argparse
from contextlib import ExitStack
from functools import partial

import torch

import distributed
from contestants import BATCH, OURS, SAME, TUTORIAL, ours, ours_as_the_tutorial, start, tutorial
from ebmnist.cli import SPINS
from ebmnist.config import load_recipe
from ebmnist.data import MNIST
from ebmnist.ranks import ALONE
from ebmnist.training import train_step
from paired import Elsewhere, Work, options, paired, serve
from report import Table, publish
from tutorial import TutorialTrainer, tutorial_net

STEPS = (20, 1)
# The tutorial's width and chain length, without spectral normalisation.
PLAIN = ["--energy.spectral_norm", "false", "--energy.width", "16", "--training.n_steps", "60"]
UPDATES = {
    "ebmnist, recipe uva-t8: 60 steps": ("uva-t8", []),
    "ebmnist, recipe uva-t8, precision auto": ("uva-t8", ["--energy.precision", "auto"]),
    "ebmnist, one temperature: 60 steps": ("mnist-classic", PLAIN),
    "ebmnist, recipe mnist as it is": ("mnist", []),
}


def chains(n_steps: int, rounds: int) -> Table:
    """One step's share of a chain, 128 chains, the tutorial's network."""
    net, x = tutorial_net(), start()
    works: dict[str, Work] = {
        TUTORIAL: partial(tutorial(net, x), n_steps),
        SAME: partial(ours_as_the_tutorial(net, x), n_steps),
        OURS: partial(ours(net, x), n_steps),
    }
    times = paired(works, rounds=rounds, repeats=3, per=n_steps)
    return Table(f"one step's share of a chain of {n_steps}, 128 chains, the tutorial's network", times)


def updates(rounds: int) -> Table:
    """A whole training update, batch 128: the tutorial's of 60 steps, ours of 60 and as the default recipe has it."""
    images = MNIST().load().train.images[:BATCH]
    trainer = TutorialTrainer(tutorial_net())
    works: dict[str, Work] = {"the tutorial's update: 60 steps": lambda: trainer.update(2 * images - 1)}
    for label, (recipe, fields) in UPDATES.items():
        works[label] = partial(train_step, load_recipe(recipe, fields).make_state(), images)
    return Table("one training update, buffer included, batch 128", paired(works, rounds=rounds))


def by_both(rounds: int) -> Table:
    """A training update of recipe mnist by PyTorch alone, as where there is no C++, and by the C++."""
    with ExitStack() as stack:
        works: dict[str, Work] = {
            f"ebmnist, recipe mnist by {path}": stack.enter_context(
                Elsewhere((__file__, "--serve"), **SPINS | environment)
            )
            for path, environment in {"PyTorch": {"EBMNIST_NATIVE": "0"}, "C++": {}}.items()
        }
        times = paired(works, rounds=rounds, per=distributed.UPDATES)
    return Table("one training update of recipe mnist, by PyTorch and by the C++", times)


def main() -> None:
    """Time all."""
    parser = options(__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(distributed.updates("mnist", ALONE))
        return
    torch.manual_seed(0)
    parts = [*(chains(n_steps, args.rounds) for n_steps in STEPS), updates(args.rounds), by_both(args.rounds)]
    notes = [
        "All on width 16, the tutorial's network, but recipe mnist: width 32, 4 Langevin steps.",
        "Recipe uva-t8 is the tutorial's to the letter, fp32; `auto`: bfloat16 on AMD's AVX512_BF16, fp32 elsewhere.",
    ]
    publish("langevin", "Chains and training updates, against the tutorial's", parts, out=args.out, notes=notes)


if __name__ == "__main__":
    main()
