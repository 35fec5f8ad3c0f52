"""Measure everything that is about speed, one script after another, each in a process of its own.

  python benchmarks                        all of it, a quarter of an hour on two idle cores (`make bench`)
  python benchmarks peers limit            only these
  python benchmarks --rounds 1 --out /tmp/trial    a trial that leaves results/ alone
  python benchmarks --level x86-64-v3 langevin limit    as on a processor that has AVX2 and no AVX-512

Tables, charts and raw rounds go to benchmarks/results/; docs/performance.md says how to read them. Every script can
be run alone and has a --help. guard.py, stability.py, ablation.py, curvature.py, pulse.py, side_by_side.py and
same_quality.py are about quality, prose.py is about the texts; they are not part of this.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paired import RESULTS, options

SCRIPTS = ("start_up", "peers", "langevin", "sampling", "scaling", "memory", "distributed", "busy", "limit", "device")
HERE = Path(__file__).parent
# What holds PyTorch and its libraries to the instructions of a level; EBMNIST_NATIVE holds the C++ to them.
NAMES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
LEVELS = {
    "x86-64-v3": dict(zip(NAMES, ("avx2", "AVX2", "AVX2"), strict=True)),
    "x86-64-v4": dict(zip(NAMES, ("avx512", "AVX512_CORE", "AVX512"), strict=True)),
}


def main() -> int:
    """Run them all; return how many failed."""
    parser = options(__doc__, rounds=None)
    parser.prog = "python benchmarks"
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=f"any of {', '.join(SCRIPTS)}; by default all")
    parser.add_argument(
        "--level",
        choices=LEVELS,
        help="hold the C++ and PyTorch to these instructions; results go to a folder of that name in results/",
    )
    args = parser.parse_args()
    level = {"EBMNIST_NATIVE": args.level, **LEVELS[args.level]} if args.level else {}
    out = args.out / args.level if args.level and args.out == RESULTS else args.out
    passed_on = ["--out", str(out)] + ([] if args.rounds is None else ["--rounds", str(args.rounds)])
    if unknown := set(args.scripts) - set(SCRIPTS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(SCRIPTS)}")
    failed = []
    # What torch.compile has kept of another level would be run here, and corrupt memory (torch 2.13).
    with tempfile.TemporaryDirectory() as compiled:
        environment = os.environ | level | {"TORCHINDUCTOR_CACHE_DIR": compiled}
        for script in args.scripts or SCRIPTS:
            begin = time.monotonic()
            done = subprocess.run([sys.executable, HERE / f"{script}.py", *passed_on], check=False, env=environment)
            if done.returncode:
                failed.append(script)
            print(f"── {script}: {time.monotonic() - begin:.0f} s{', FAILED' if done.returncode else ''}\n", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
