"""How a verb ends: its exit code, and what it may write over."""

import sys
from collections.abc import Callable
from pathlib import Path

from ebmnist import pipeline
from ebmnist.console import console, follow
from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Progress
from ebmnist.training import Diverged

UNMEASURED, DIVERGED, INTERRUPTED = 1, 3, 130


def follow_to_the_end(flow: Callable[[Progress], pipeline.Events], *, at_once: bool = False) -> int:
    """Follow a stream to its end, as `console.follow`; the exit code says how it ended."""
    try:
        follow(flow, at_once=at_once)
    except Diverged as error:
        print(f"ebmnist: {error}", file=sys.stderr)
        return DIVERGED
    except KeyboardInterrupt as interrupt:  # the stream knows what was saved
        console.print(str(interrupt) or "interrupted", soft_wrap=True, markup=False)
        return INTERRUPTED
    return 0


def may_write(path: Path, suffixes: tuple[str, ...], force: bool) -> None:
    """Refuse before the work begins what could not be written after it."""
    if path.suffix not in suffixes:
        raise BadInput(f"--out {path}: use a name that ends in {', '.join(suffixes)}")
    if path.exists() and not force:
        raise BadInput(f"--out {path}: exists already; choose another name, or add --force")
    if not path.absolute().parent.is_dir():
        raise BadInput(f"--out {path}: the folder {path.parent} does not exist; make it first")
