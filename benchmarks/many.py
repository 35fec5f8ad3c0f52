"""Does the memory of `sample` and `score` grow with the number of images?

Whole commands, each in a process of its own, at two numbers of images: the largest resident set that the system saw
(ru_maxrss), and the seconds. The energy is that of recipe smoke, and chains have one step, because memory does not
depend on either. A folder of files and a .tar keep their names in memory, so ten million names are measured as well.

  python benchmarks/many.py                           some ten minutes on two cores, 2 GB of disk
  python benchmarks/many.py --sizes 8000 16000        a trial
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

MODEL = "smoke"
N_NAMES = 10_000_000
NAMES = f"""
from ebmnist.data.names import packed
names = packed(f"{{i:09d}}.png" for i in range({N_NAMES}))
names.sort()
"""


class Cost(NamedTuple):
    """What a process took."""

    peak: float  # MB of 10⁶ bytes, the largest resident set
    seconds: float


def run(*words: str) -> Cost:
    """Run Python to its end."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: {said}")
    return Cost(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6, time.perf_counter() - begin)


def jobs(n: int, model: Path, folder: Path) -> dict[str, Cost]:
    """Run every kind of job on n images; what each took."""
    array, tar, pictures = folder / f"{n}.npy", folder / f"{n}.tar", folder / f"{n}"
    command = ("-m", "ebmnist")
    sample = (*command, "sample", str(model), "--n", str(n), "--steps", "1", "--out")
    score = (*command, "score", str(model), "--input")
    found = {"sample --out x.npy": run(*sample, str(array)), "sample --out x.tar": run(*sample, str(tar))}
    print(n, found, file=sys.stderr)
    with tarfile.open(tar) as members:
        members.extractall(pictures, filter="data")
    found |= {
        "score --input x.npy --out y.npy": run(*score, str(array), "--out", str(folder / f"{n}-scores.npy")),
        "score --input x.tar --out y.csv": run(*score, str(tar), "--out", str(folder / f"{n}-tar.csv")),
        "score --input folder --out y.csv": run(*score, str(pictures), "--out", str(folder / f"{n}-folder.csv")),
    }
    print(n, found, file=sys.stderr)
    return found


def main() -> None:
    """Measure all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=[20_000, 200_000], metavar="N", help="numbers of images")
    about = "a calibrated run, in place of a new one of recipe smoke"
    parser.add_argument("--model", type=Path, help=about)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = args.model or folder / "run"
        if args.model is None:
            run("-m", "ebmnist", "train", MODEL, "--out", str(model))
            run("-m", "ebmnist", "calibrate", str(model))
        few, many = (jobs(n, model, folder) for n in args.sizes)
    first, second = (f"{n:,} images" for n in args.sizes)
    print(f"| | peak, {first} | peak, {second} | seconds, {first} | seconds, {second} |")
    print("|---|---|---|---|---|")
    for job in few:
        peaks, seconds = (few[job].peak, many[job].peak), (few[job].seconds, many[job].seconds)
        print(f"| `{job}` | {peaks[0]:,.0f} MB | {peaks[1]:,.0f} MB | {seconds[0]:,.0f} | {seconds[1]:,.0f} |")
    nothing, names = run("-c", "import ebmnist.data.names"), run("-c", NAMES)
    print(f"{N_NAMES:,} names: {names.peak - nothing.peak:,.0f} MB and {names.seconds:.0f} s more")


if __name__ == "__main__":
    main()
