"""What does an update take on a machine that is busy with something else, and on an idle one?

Threads of PyTorch's OpenMP wait for each other by spinning. Where other programs want the processors too, they keep
them from the thread that they wait for. The command line has them sleep soon (GOMP_SPINCOUNT in `ebmnist/cli.py`).
Updates of recipe `mnist`, each way, by a thread for each core: alone, and beside a busy process for each core.

  python benchmarks/busy.py               three minutes on two idle cores
  python benchmarks/busy.py --rounds 1    a trial
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ebmnist.cli import SPINS
from ebmnist.ranks import ALONE
from paired import Elsewhere, Rounds, options, paired, serve
from report import Table, publish

UPDATES = 2  # in a row
SPINNING, SLEEPING, SINGLE = "threads spin, PyTorch's default", "threads sleep soon, the command line's", "one thread"


@contextmanager
def others(n: int) -> Iterator[None]:
    """Busy processes of another session, as another program has them."""
    with ExitStack() as stack:
        for _ in range(n):
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        yield


def main() -> None:
    """Measure and publish."""
    parser = options(__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        from distributed import updates

        serve(updates("mnist", ALONE, UPDATES))
        return
    n_cores = os.cpu_count() or 1
    several = {"OMP_NUM_THREADS": str(n_cores)}
    environments = {SPINNING: several, SLEEPING: several | SPINS, SINGLE: {"OMP_NUM_THREADS": "1"}}
    measured: dict[str, Rounds] = {}
    with ExitStack() as stack:
        works = {
            name: stack.enter_context(Elsewhere((__file__, "--serve"), **environment))
            for name, environment in environments.items()
        }
        for title, n in (("on an idle machine", 0), (f"beside {n_cores} busy processes", n_cores)):
            with others(n):
                measured[title] = paired(dict(works), rounds=args.rounds, warmup=1, per=UPDATES)
    parts = [
        Table(f"an update {title}", times, ratio="of its time", over_first=True) for title, times in measured.items()
    ]
    publish("busy", f"An update of recipe mnist by {n_cores} threads, beside other programs", parts, out=args.out)


if __name__ == "__main__":
    main()
