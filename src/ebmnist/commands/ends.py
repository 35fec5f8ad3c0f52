"""How a command ends: its exit code, and what it may write."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from ebmnist.console import follow
from ebmnist.errors import BadInput
from ebmnist.evaluation.base import ProgressCallback
from ebmnist.events import Events
from ebmnist.output import tell
from ebmnist.ranks import ALONE, Ranks
from ebmnist.reporting import check_writable, write_images
from ebmnist.reporting.grid import save_grid
from ebmnist.signals import Interrupted
from ebmnist.training import Diverged

UNMEASURED, DIVERGED = 1, 3


def follow_to_the_end(
    flow: Callable[[ProgressCallback], Events], *, at_once: bool = False, ranks: Ranks = ALONE
) -> int:
    """Follow a stream to its end, as `console.follow`; the exit code says how it ended, and rank 0 why."""
    try:
        follow(flow, at_once=at_once, ranks=ranks)
    except Diverged as error:
        for line in f"ebmnist: {error}".splitlines() if ranks.first else ():  # a report, not a message
            tell(line)
        return DIVERGED
    except Interrupted as interrupt:  # the stream knows what was saved
        if ranks.first:
            tell(f"ebmnist: {str(interrupt) or 'interrupted'}")
        return interrupt.exit_code
    return 0


def write_shown(x: Tensor, path: Path, n_columns: int | None = None) -> None:
    """Write images, (N, 1, 28, 28), as .npy, or as a .png with `n_columns` of them in a row."""
    if path.suffix == ".npy":
        write_images(x, path)
    else:
        save_grid(x, path, n_columns=n_columns)


def may_write(path: Path, suffixes: tuple[str, ...], *, force: bool | None = None, source: Path | None = None) -> None:
    """Refuse before the work begins what could not be written after it.

    `force` is None for a command without --force; `source` is the command's input.
    """
    if path.suffix not in suffixes:
        raise BadInput(f"--out {path}: use a name that ends in {', '.join(suffixes)}")
    if path.exists() and not path.is_file():
        raise BadInput(f"--out {path}: is not a file; choose another name")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise BadInput(f"--out {path}: is --input itself; choose another name")
    if path.exists() and not force:
        raise BadInput(
            f"--out {path}: exists already; choose another name{'' if force is None else ', or add --force'}"
        )
    if not path.absolute().parent.is_dir():
        raise BadInput(f"--out {path}: the folder {path.parent} does not exist; make it first")
    check_writable(path.absolute().parent)
