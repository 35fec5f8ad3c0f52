"""How many images a second are drawn, by chains of 256 steps from noise?

First in turn with the tutorial's loop, 128 images a round; then 10,000 images by `ebmnist.sample` in one go.

  python benchmarks/sampling.py                       a few minutes on two cores
  python benchmarks/sampling.py --n 1000              a shorter run at the end
  python benchmarks/sampling.py --rounds 1 --n 256 --steps 16    a trial
"""

import time
from collections.abc import Callable
from functools import partial

import torch

from contestants import BATCH, OURS, SAME, TUTORIAL, ours, ours_as_the_tutorial, same_weights, start, tutorial
from ebmnist.energies import ConvNet
from ebmnist.sampling import sample
from paired import Work, options, paired
from report import Table, publish
from tutorial import tutorial_net

WIDE = "ebmnist, recipe mnist's network"


def by_batch(rounds: int, n_steps: int) -> Table:
    """Images a second, the tutorial's loop and ours in turn, on the tutorial's network."""
    net, x = tutorial_net(), start()
    contestants = {TUTORIAL: tutorial, SAME: ours_as_the_tutorial, OURS: ours}
    works: dict[str, Work] = {name: partial(make(net, x), n_steps) for name, make in contestants.items()}
    times = paired(works, rounds=rounds, warmup=1)
    speeds = {name: [1e3 * BATCH / t for t in values] for name, values in times.items()}
    title = f"batches of {BATCH} images, {n_steps} steps each, the tutorial's network"
    return Table(title, speeds, unit="images/s", over_first=True)


def all_at_once(n: int, n_steps: int) -> str:
    """`ebmnist.sample` of n images, on the tutorial's network and on the default recipe's, in words."""
    words = []
    for name, energy in ((OURS, same_weights(tutorial_net(), "auto")), (WIDE, ConvNet())):
        draw: Callable[[int], object] = partial(sample, energy, rng=torch.Generator().manual_seed(0), n_steps=n_steps)
        draw(BATCH)  # warm-up
        begin = time.perf_counter()
        draw(n)
        seconds = time.perf_counter() - begin
        words.append(f"{name} {n / seconds:.1f} images/s ({seconds:.1f} s)")
    return f"{n:,} images × {n_steps} steps by `ebmnist.sample`, once: {'; '.join(words)}."


def main() -> None:
    """Time the batches, then the whole."""
    parser = options(__doc__)
    parser.add_argument("--n", type=int, default=10_000, help="images drawn in one go (default %(default)s)")
    parser.add_argument("--steps", type=int, default=256, help="of each chain (default %(default)s)")
    args = parser.parse_args()
    torch.manual_seed(0)
    part = by_batch(args.rounds, args.steps)
    notes = [all_at_once(args.n, args.steps)]
    publish("sampling", "Images a second", [part], out=args.out, notes=notes)


if __name__ == "__main__":
    main()
