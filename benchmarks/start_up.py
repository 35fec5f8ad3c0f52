"""How long is the import, and how long until the first samples?

Whole processes, in turn, from their start to their end: Python alone, `import torch`, `import ebmnist` (whose names
come when they are first used) and all its public names; then 16 images by 60 steps, the tutorial's loop and ours.

  python benchmarks/start_up.py               about two minutes on two cores
  python benchmarks/start_up.py --rounds 1    a trial
"""

import subprocess
import sys
from functools import partial
from pathlib import Path

from paired import Work, options, paired
from report import Table, publish

IMPORTS = {
    "import torch": "import torch",
    "ebmnist, import ebmnist": "import ebmnist",
    "ebmnist, from ebmnist import *": "from ebmnist import *",
    "Python alone": "pass",
}
FIRST = {
    "the tutorial's loop": """
import torch
from tutorial import tutorial_chain, tutorial_net
tutorial_chain(tutorial_net(), 2 * torch.rand(16, 1, 28, 28) - 1, 60)
""",
    "ebmnist.sample": """
import ebmnist, torch
ebmnist.sample(ebmnist.ConvNet(width=16), 16, rng=torch.Generator().manual_seed(0), n_steps=60)
""",
}


def process(code: str) -> Work:
    """A fresh Python that runs `code`, beside these scripts."""
    command = [sys.executable, "-c", code]
    return partial(subprocess.run, command, check=True, cwd=Path(__file__).parent)


def main() -> None:
    """Time both kinds."""
    args = options(__doc__).parse_args()

    def table(title: str, codes: dict[str, str]) -> Table:
        works = {name: process(code) for name, code in codes.items()}
        times = paired(works, rounds=args.rounds, warmup=1)
        return Table(title, times, ratio="times the first's", over_first=True)

    parts = [table("a process that only imports", IMPORTS), table("a process that draws 16 images, 60 steps", FIRST)]
    publish("start_up", "Imports, and the time to the first samples", parts, out=args.out)


if __name__ == "__main__":
    main()
