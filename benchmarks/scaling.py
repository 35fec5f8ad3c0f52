"""How does a step's cost grow with the batch, the chain's length, the network's width and the number of threads?

The tutorial's loop and ours, in turn, 128 chains of 10 steps on the tutorial's network unless it says otherwise.
Each number of threads has a process of its own for either loop; those too run in turn.

  python benchmarks/scaling.py               about two minutes on two cores
  python benchmarks/scaling.py --rounds 1    a trial
"""

import argparse
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from contestants import BATCH, OURS, TUTORIAL, Chains, ours, start, tutorial
from paired import Elsewhere, Rounds, Work, options, paired, serve
from report import Sweep, publish
from tutorial import tutorial_net

STEPS = 10
BATCHES = (32, 64, 128, 256, 512, 1024, 2048)
LENGTHS = (1, 4, 16, 64)
WIDTHS = (8, 16, 32, 64)
CONTESTANTS: dict[str, Callable[[nn.Sequential, Tensor], Chains]] = {TUTORIAL: tutorial, OURS: ours}


def works(batch: int = BATCH, n_steps: int = STEPS, width: int = 16) -> dict[str, Work]:
    """Both contestants at one setting."""
    net, x = tutorial_net(width), start(batch)
    return {name: partial(make(net, x), n_steps) for name, make in CONTESTANTS.items()}


def sweep(title: str, x: str, values: tuple[int, ...], measure: Callable[[int], Rounds]) -> Sweep:
    """Measure both contestants at each value."""
    lines: dict[str, dict[int, list[float]]] = {name: {} for name in CONTESTANTS}
    for value in values:
        for name, times in measure(value).items():
            lines[name][value] = times
    return Sweep(title, x, lines)


def by_threads(counts: tuple[int, ...], rounds: int) -> Sweep:
    """The four or so processes are all started first, and then run in turn."""
    with ExitStack() as stack:
        works: dict[str, Work] = {}
        for n in counts:
            for name in CONTESTANTS:
                arguments = (__file__, "--serve", name)
                works[f"{n} {name}"] = stack.enter_context(Elsewhere(arguments, OMP_NUM_THREADS=str(n)))
        times = paired(works, rounds=rounds, per=STEPS)
    lines = {name: {n: times[f"{n} {name}"] for n in counts} for name in CONTESTANTS}
    return Sweep("a step against threads", "threads", lines)


def main() -> None:
    """Measure the four."""
    parser = options(__doc__)
    parser.add_argument("--serve", choices=[*CONTESTANTS], help=argparse.SUPPRESS)  # the other end of `by_threads`
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.serve:
        serve(works()[args.serve])
        return
    time = partial(paired, rounds=args.rounds, warmup=1)
    threads = (1, *(n for n in (2, 4, 8, 16) if n <= (os.cpu_count() or 1)))
    parts = [
        sweep("a step against the batch", "chains", BATCHES, lambda n: time(works(batch=n), per=STEPS)),
        sweep("a step against the chain's length", "steps", LENGTHS, lambda n: time(works(n_steps=n), per=n)),
        sweep("a step against the network's width", "width", WIDTHS, lambda n: time(works(width=n), per=STEPS)),
        by_threads(threads, args.rounds),
    ]
    publish("scaling", "What a Langevin step costs", parts, out=args.out)


if __name__ == "__main__":
    main()
