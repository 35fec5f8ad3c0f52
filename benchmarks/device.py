"""What does a GPU make of a chain: step by step, and replayed from a graph, against the tutorial's loop on it?

A chain of 60 steps on the tutorial's network, the same weights in all. "step by step" is `run_chain` where
EBMNIST_GRAPHS=0; without that it replays a graph (`sampling/graphed.py`), which is what a user gets who asks for
nothing. Beside them an update of recipe mnist. Without a GPU it says so and measures nothing.

  python benchmarks/device.py                                           a minute
  python benchmarks/device.py --device cpu --batches 32 --rounds 1      without graphs, to try the script
"""

import os
from collections.abc import Callable

import torch

from contestants import OURS, SAME, TUTORIAL, same_weights, start
from ebmnist.config import load_recipe
from ebmnist.energies import Energy
from ebmnist.sampling import Langevin, run_chain
from ebmnist.training import fit
from paired import Work, options, paired
from report import Table, publish
from tutorial import tutorial_chain, tutorial_net

STEPS = 60


def with_graphs(asked: bool, chain: Work) -> Work:
    """A chain that may, or may not, be replayed from a graph."""

    def run() -> None:
        os.environ["EBMNIST_GRAPHS"] = str(int(asked))
        chain()

    return run


def chains(batch: int, device: torch.device) -> dict[str, Work]:
    """All contestants at one batch."""
    net, x = tutorial_net().to(device), start(batch).to(device)
    rng = torch.Generator(device).manual_seed(0)
    same, auto = same_weights(net).to(device), same_weights(net, "auto").to(device)

    def ours(energy: Energy, kernel: Langevin) -> Work:
        return lambda: run_chain(energy, kernel, x, STEPS, rng=rng)

    return {
        TUTORIAL: lambda: tutorial_chain(net, 2 * x - 1, STEPS),
        f"{SAME}, step by step": with_graphs(False, ours(same, Langevin(noise_first=True))),
        f"{SAME}": with_graphs(True, ours(same, Langevin(noise_first=True))),
        f"{OURS}": with_graphs(True, ours(auto, Langevin())),
    }


def update(device: torch.device) -> Callable[[], object]:
    """One update of recipe mnist."""
    recipe = load_recipe("mnist", ["--device", str(device)])
    run = fit(recipe.make_state(), recipe.load_data().train.images.to(device))
    return lambda: next(run)


def finished(work: Work, device: torch.device) -> Work:
    """A work that ends when the device has."""
    if device.type != "cuda":
        return work

    def run() -> None:
        work()
        torch.cuda.synchronize(device)

    return run


def main() -> None:
    """Time the batches."""
    parser = options(__doc__)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"), help="cuda (default), or cpu")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 2048], help="chains (default 128 and 2048)")
    args = parser.parse_args()
    if args.device.type == "cuda" and not torch.cuda.is_available():
        print("device.py: no GPU here, nothing measured; on a machine with one: .venv/bin/python benchmarks/device.py")
        return
    torch.manual_seed(0)
    parts = []
    for batch in args.batches:
        works = {name: finished(work, args.device) for name, work in chains(batch, args.device).items()}
        times = paired(works, rounds=args.rounds, repeats=3, warmup=3, per=STEPS)
        parts.append(Table(f"one step's share of a chain of {STEPS}, {batch:,} chains, {args.device.type}", times))
    times = paired({"recipe mnist": update(args.device)}, rounds=args.rounds, repeats=20, warmup=20)
    parts.append(Table(f"one update, {args.device.type}", times))
    publish("device", "A Langevin step on a GPU", parts, out=args.out)


if __name__ == "__main__":
    main()
