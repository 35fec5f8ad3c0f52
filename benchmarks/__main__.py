"""Measure everything that is about speed, one script after another, each in a process of its own.

  python benchmarks                        all of it, a quarter of an hour on two idle cores (`make bench`)
  python benchmarks peers limit            only these
  python benchmarks --rounds 1 --out /tmp/trial    a trial that leaves results/ alone

Tables, charts and raw rounds go to benchmarks/results/; docs/performance.md says how to read them. Every script can
be run alone and has a --help. guard.py, stability.py, ablation.py, curvature.py, pulse.py, side_by_side.py and
same_quality.py are about quality, prose.py is about the texts; they are not part of this.
"""

import subprocess
import sys
import time
from pathlib import Path

from paired import options

SCRIPTS = ("start_up", "peers", "langevin", "sampling", "scaling", "memory", "distributed", "limit", "device")
HERE = Path(__file__).parent


def main() -> int:
    """Run them all; return how many failed."""
    parser = options(__doc__, rounds=None)
    parser.prog = "python benchmarks"
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=f"any of {', '.join(SCRIPTS)}; by default all")
    args = parser.parse_args()
    passed_on = ["--out", str(args.out)] + ([] if args.rounds is None else ["--rounds", str(args.rounds)])
    if unknown := set(args.scripts) - set(SCRIPTS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(SCRIPTS)}")
    failed = []
    for script in args.scripts or SCRIPTS:
        begin = time.monotonic()
        done = subprocess.run([sys.executable, HERE / f"{script}.py", *passed_on], check=False)
        if done.returncode:
            failed.append(script)
        print(f"── {script}: {time.monotonic() - begin:.0f} s{', FAILED' if done.returncode else ''}\n", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
