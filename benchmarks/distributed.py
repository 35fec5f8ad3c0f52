"""What does an update cost on one and two ranks, against one process, and what do ranks send each other?

Updates of a recipe: by a process of one thread and of two, and by one and two ranks of one thread each; with
microbatches and with compressed gradients too. Each contestant has processes of its own, and all run in turn. Beside
the time that passes stands the processor time of all its processes, which other work on the machine hardly changes.

  python benchmarks/distributed.py               a minute on two idle cores
  python benchmarks/distributed.py --rounds 1    a trial
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor, distributed

from ebmnist.config import load_recipe
from ebmnist.data.batches import Batches
from ebmnist.launched import join
from ebmnist.random import Purpose
from ebmnist.ranks import RankLost, Ranks
from ebmnist.training import train_step
from paired import Elsewhere, Rounds, Work, options, serve
from report import Table, publish

UPDATES = 5  # in a row
ALONE, THREADS, ONE, TWO = "1 process, 1 thread", "1 process, 2 threads", "1 rank, 1 thread", "2 ranks, 1 thread each"
MICRO, COMPRESSED = f"{ONE}, microbatches of 64", f"{TWO}, compressed gradients"
N_RANKS = {ONE: 1, MICRO: 1, TWO: 2, COMPRESSED: 2}
OPTIONS = {
    MICRO: ("--training.microbatch_size", "64"),
    COMPRESSED: ("--training.gradient_compression", "true"),
}
TICKS = os.sysconf("SC_CLK_TCK")


def updates(recipe: str, options: Sequence[str], ranks: Ranks, n: int = UPDATES) -> Work:
    """Some updates in a row of a new state."""
    made = load_recipe(recipe, ["--device", "cpu", *options])
    state = made.make_state()
    state.ranks = ranks
    batches = Batches(made.load_data().train.images, state.training.batch_size, state.stream_of(Purpose.BATCHES))

    def work() -> None:
        for _ in range(n):
            train_step(state, batches.at(state.step))

    return work


def exchanged(work: Work) -> dict[str, int]:
    """Bytes that a rank gets from, or gives to, each collective in an update."""
    seen: dict[str, int] = {}

    def counted(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def counting(values: Tensor | list[Tensor], *more: object, **how: object) -> object:
            tensors = values if isinstance(values, list) else [values]
            key = f"{name} of {tensors[0].dtype}".replace("torch.", "")
            seen[key] = seen.get(key, 0) + sum(t.nbytes for t in tensors)
            return call(values, *more, **how)

        return counting

    before = distributed.all_gather, distributed.all_reduce
    distributed.all_gather, distributed.all_reduce = (counted(c.__name__, c) for c in before)
    work()
    distributed.all_gather, distributed.all_reduce = before
    return {name: size // UPDATES for name, size in seen.items()}


def rank(args: argparse.Namespace) -> None:
    """A process of a contestant: rank 0 waits to be asked, the others follow it until it has ended."""
    with join() as ranks:
        work = updates(args.recipe, args.options, ranks)
        work()
        seen = exchanged(work)
        if ranks.first:
            args.told.write_text(json.dumps(seen))
            serve(work)
            os._exit(0)  # the others learn of it by that
        while True:
            try:
                work()
            except RankLost:
                return


def begin(stack: ExitStack, name: str, recipe: str, told: Path) -> tuple[Elsewhere, list[int]]:
    """Start a contestant's processes: what runs its updates, and the processes' ids."""
    words = (__file__, "--rank", "--recipe", recipe, "--told", str(told), "--options", *OPTIONS.get(name, ()))
    if name not in N_RANKS:
        alone = stack.enter_context(Elsewhere(words, OMP_NUM_THREADS=name.split(", ")[1][0]))
        return alone, [alone._child.pid]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    place |= {"WORLD_SIZE": str(N_RANKS[name]), "OMP_NUM_THREADS": "1"}
    first = stack.enter_context(Elsewhere(words, RANK="0", **place))
    others = [
        subprocess.Popen([sys.executable, *words], env=os.environ | place | {"RANK": str(i)})
        for i in range(1, N_RANKS[name])
    ]
    return first, [first._child.pid, *(other.pid for other in others)]


def processor_time(pid: int) -> float:
    """Milliseconds that a process has computed (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1e3 * (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    """Measure and publish."""
    parser = options(__doc__)
    parser.add_argument("--recipe", default="mnist")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--told", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rank:
        rank(args)
        return
    names = (ALONE, THREADS, *N_RANKS)
    wall: Rounds = {name: [] for name in names}
    processor: Rounds = {name: [] for name in names}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        told = {name: Path(folder) / str(i) for i, name in enumerate(names)}
        works = {name: begin(stack, name, args.recipe, told[name]) for name in names}
        for work, _ in works.values():
            work()
        for _ in track(range(args.rounds), "rounds", transient=True):
            for name, (work, pids) in works.items():
                before, since = sum(map(processor_time, pids)), time.perf_counter()
                work()
                wall[name].append(1e3 * (time.perf_counter() - since) / UPDATES)
                processor[name].append((sum(map(processor_time, pids)) - before) / UPDATES)
        seen, fewer = (json.loads(told[name].read_text()) for name in (TWO, COMPRESSED))
    weights = sum(p.numel() for p in load_recipe(args.recipe).make_energy().parameters())
    sent, less = (", ".join(f"{name} {size:,}" for name, size in each.items()) for each in (seen, fewer))
    publish(
        "distributed",
        f"An update of recipe {args.recipe} on ranks",
        [
            Table("time that passes, of an update", wall, ratio="of its time", over_first=True),
            Table("processor time of all processes, of an update", processor, ratio="of its time", over_first=True),
        ],
        out=args.out,
        notes=[
            f"Bytes that each of two ranks has in the collectives of an update, {weights:,} weights: {sent}.",
            f"With compressed gradients: {less}.",
        ],
        facts={"recipe": args.recipe, "bytes": seen, "compressed_bytes": fewer, "weights": weights},
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
