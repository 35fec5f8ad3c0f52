"""Mutate N files and read them: `make fuzz`, or `python -m fuzzing --n 20000 --seed 0` from tests/. Exit 1 at a fault.

What comes out must be a value or one line of BadInput, within `--seconds` and 1 GB: anything else is a fault, which is
printed once a kind with the number that makes it again (`--only NUMBER`).
"""

import argparse
import collections
import faulthandler
import json
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch

from ebmnist.errors import BadInput
from fuzzing.corpus import make_corpus
from fuzzing.trials import TRIALS, fresh

MEMORY = 1_000_000_000  # bytes beyond what the process has when it begins


class Hang(BaseException):
    """A reader took too long. No Exception, so that no reader can take it for its own."""


def _ring(*_: Any) -> None:
    raise Hang


def outcome(number: int, seed: int, corpus: Path, folder: Path, seconds: float) -> tuple[str, str, str]:
    """Make file `number` and read it; return its kind, what came out, and words for a fault."""
    rng = random.Random(f"{seed}-{number}")
    kind = rng.choices(list(TRIALS), [trial.weight for trial in TRIALS.values()])[0]
    TRIALS[kind].spoil(fresh(corpus, folder), rng)
    came, words = "read", ""
    for reader in TRIALS[kind].readers:
        faulthandler.dump_traceback_later(20 * seconds, exit=True)  # a hang where Python has no say
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            reader(folder)
        except BadInput as error:
            lines = str(error).splitlines()
            came = "refused" if len(lines) == 1 and len(lines[0]) < 2000 else "fault"
            words = "" if came == "refused" else f"{len(lines)} lines: {error!s:.300}"
        except Hang:
            came, words = "hang", "".join(traceback.format_exc(limit=-3))
        except Exception as error:  # noqa: BLE001 (whatever comes out is what is counted)
            place = traceback.extract_tb(error.__traceback__)[-1]
            came, words = "fault", f"{type(error).__name__} at {Path(place.filename).name}:{place.name}: {error!s:.200}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if came in ("hang", "fault"):
            break
    faulthandler.cancel_dump_traceback_later()
    return kind, came, words


def peak_memory() -> int:
    """Bytes this process had at most. What getrusage says begins with the peak of the process that started this one."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> int:
    """Fuzz, and print a table and the faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0, help="of CPU that one reader may take")
    parser.add_argument("--only", type=int, help="one file's number")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    signal.signal(signal.SIGPROF, _ring)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))  # tells of what was done until then
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    faults: set[str] = set()
    begin, slowest = time.monotonic(), 0.0
    with tempfile.TemporaryDirectory() as top:
        make_corpus(Path(top) / "corpus")
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, resource.RLIM_INFINITY))
        for number in range(args.n) if args.only is None else [args.only]:
            if stopped:
                break
            now = time.monotonic()
            kind, came, words = outcome(number, args.seed, Path(top) / "corpus", Path(top) / "spoilt", args.seconds)
            slowest = max(slowest, time.monotonic() - now)
            counts[kind][came] += 1
            if words and (fault := f"{kind}: {words}") not in faults:
                faults.add(fault)
                print(f"file {number}, {fault}", flush=True)
    total = sum(counts.values(), collections.Counter())
    for kind, came in [*sorted(counts.items()), ("all", total)]:
        print(f"{kind:22}", "  ".join(f"{name} {came[name]:6}" for name in ("read", "refused", "fault", "hang")))
    print(
        json.dumps(
            {
                **total,
                "slowest_s": round(slowest, 1),
                "peak_MB": peak_memory() // 10**6,
                "s": round(time.monotonic() - begin),
            }
        )
    )
    return 1 if total["fault"] or total["hang"] else 0


if __name__ == "__main__":
    sys.exit(main())
