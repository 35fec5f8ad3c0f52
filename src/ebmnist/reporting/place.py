"""Where a new run may stand, and whether one that stands can be written."""

from pathlib import Path

from ebmnist.reporting.atomic import TEMPORARY, check_writable, mendable, sweep

FOLDERS = ("checkpoints", "figures")  # of a run, made with it
FILES = ("env.json", "metrics.jsonl", "events.jsonl")  # there before recipe.yaml is, which makes the folder a run


def default_path(name: str, runs: Path = Path("runs")) -> Path:
    """Return `runs/<name>`, or the first of `<name>-2`, `<name>-3`, … that is not taken."""
    path, number = runs / name, 1
    while path.exists():
        number += 1
        path = runs / f"{name}-{number}"
    return path


def is_free(path: Path) -> bool:
    """Whether a run may begin there: nothing is, or an empty folder, or what a killed beginning may have left."""
    if not path.is_dir():
        return not path.exists()
    if any(_is_strange(entry) for entry in path.iterdir()):
        return False
    return not any((path / name).exists() and (path / name).stat().st_size for name in FILES if name != "env.json")


def tidy(run: Path) -> None:
    """See before the work that a run's folder can be written, and clear away what dead writers left in it.

    Raises:
        BadInput: it cannot be written.
    """
    for folder in (run, make_figures(run)):
        check_writable(folder)
        sweep(folder)


def make_figures(folder: Path) -> Path:
    """Return the folder for pictures in `folder`, made if it is not there yet.

    Raises:
        BadInput: the system refuses.
    """
    figures = folder / "figures"
    with mendable(figures):
        figures.mkdir(exist_ok=True)
    return figures


def _is_strange(entry: Path) -> bool:
    if entry.name in FOLDERS and entry.is_dir():
        return any(not inside.name.startswith(TEMPORARY) for inside in entry.iterdir())
    return entry.name not in FILES and not entry.name.startswith(TEMPORARY)
