"""Where the four files of an MNIST-like set lie in a folder, and how people spell their names."""

import re
from importlib.resources.abc import Traversable

from ebmnist.errors import BadInput

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
SUFFIXES = ("", ".gz", ".xz")
N_LOOKED_AT = 200  # entries of a folder that are looked into for a set further down
MEND = "say where they are with --data.root FOLDER"


def find(folder: Traversable, name: str) -> Traversable:
    """Return `name` of FILES in `folder`: plain, else .gz, else .xz.

    It may be in capitals, with dots or underscores for dashes, as in LeCun's own archive, or `test` for `t10k`, and in
    a folder of its own name, as Kaggle's is. EMNIST's files are found by their own names.

    Raises:
        BadInput: there is none, or several.
    """
    check_folder(folder)
    try:
        for suffix in SUFFIXES:
            if (file := file_of(folder / (name + suffix))).is_file():
                return file
        return _otherwise_spelled(folder, name)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be read ({error.strerror}); make it readable, or {MEND}") from error


def file_of(entry: Traversable) -> Traversable:
    """Return the file that an entry is, or the one of the same name that is in it."""
    if not entry.is_dir():
        return entry
    within = (inner for inner in _entries(entry) if spelled(inner.name) == spelled(entry.name))
    return next((inner for inner in within if inner.is_file()), entry)


def spelled(name: str) -> str:
    """Return a file's name as `FILES` spells such names, without .gz or .xz."""
    stem = name.lower().removesuffix(".gz").removesuffix(".xz")
    return re.sub("[._-]+", "-", stem).replace("test-", "t10k-")


def _otherwise_spelled(folder: Traversable, name: str) -> Traversable:
    """Return the file in `folder` that is `name`, or `emnist-SET-` and `name`, in another spelling."""
    files = {spelled(f.name): f for f in reversed(_entries(folder))}  # the plain one, of several that are spelled so
    found = [files[name]] if name in files else []
    found = found or [f for stem, f in files.items() if stem.startswith("emnist-") and stem.endswith("-" + name)]
    found = [file for file in map(file_of, found) if file.is_file()]  # no link to what is not there
    if len(found) > 1:
        names = ", ".join(sorted(file.name for file in found)[:3])
        raise BadInput(
            f"{folder}: holds several sets ({names}, …); move the four files of one to a folder of their own"
        )
    if not found:
        raise BadInput(
            f"{folder}: holds no {name} (nor .gz, .xz); expected the four IDX files {', '.join(FILES)}; {MEND}"
        )
    return found[0]


def place_of(folder: Traversable) -> Traversable:
    """Return the folder with the four files: `folder`, or the only one such as `MNIST/raw` two levels below it.

    Raises: BadInput if there is no such folder, none is complete, or several below it are.
    """
    check_folder(folder)
    if has_set(folder):
        return folder
    below = _folders_in(folder)
    further = [entry for each in below for entry in _folders_in(each)]
    found = [place for place in (*below, *further[:N_LOOKED_AT]) if has_set(place)]
    if len(found) > 1:
        places = ", ".join(sorted(map(str, found))[:3])
        raise BadInput(f"{folder}: holds several sets; give one of {places} as --data.root")
    return found[0] if found else folder  # whose missing files `find` names


def has_set(folder: Traversable) -> bool:
    """Say whether a folder holds all four files, of whichever spelling and compression."""
    try:
        return all(find(folder, name) for name in FILES)
    except BadInput:
        return False


def check_folder(folder: Traversable) -> None:
    """Raises: BadInput unless it is a folder."""
    if not folder.is_dir():
        expected = f"expected one with the four IDX files {', '.join(FILES)}"
        fault = "is a file" if folder.is_file() else "no such folder"
        raise BadInput(f"{folder}: {fault}; {expected}; if they were moved, {MEND}")


def _folders_in(folder: Traversable) -> list[Traversable]:
    return [entry for entry in _entries(folder)[:N_LOOKED_AT] if entry.is_dir()]


def _entries(folder: Traversable) -> list[Traversable]:
    try:
        return sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be read ({error.strerror}); make it readable, or {MEND}") from error
