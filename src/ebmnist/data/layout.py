"""Where the four files of an MNIST-like set lie in a folder, and how people spell their names."""

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

    A dot may stand for the dash before `idx`, as in LeCun's own archive, and the file in a folder of its own name, as
    Kaggle's does. EMNIST's files are found by their own names. Raises: BadInput if there is none, or several.
    """
    check_folder(folder)
    for stem in (name, name.replace("-idx", ".idx")):
        for suffix in SUFFIXES:
            if (file := file_of(folder / (stem + suffix))).is_file():
                return file
    return _emnist(folder, name)


def file_of(entry: Traversable) -> Traversable:
    """Return the file that an entry is, or the one of the same name that is in it."""
    names = (entry.name, entry.name.removesuffix(".gz").removesuffix(".xz"))
    return next((entry / name for name in names if (entry / name).is_file()), entry)


def _emnist(folder: Traversable, name: str) -> Traversable:
    """Return `emnist-SET-` and `name`, with `test` for `t10k`, in `folder`."""
    end = "-" + name.replace("t10k", "test")
    files = {f.name.removesuffix(".gz").removesuffix(".xz"): f for f in _entries(folder)}
    found = [file for stem, file in files.items() if stem.lower().startswith("emnist") and stem.endswith(end)]
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
    below = [entry for entry in _entries(folder) if entry.is_dir()]
    further = [entry for each in below for entry in _entries(each) if entry.is_dir()]
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
        raise BadInput(f"{folder}: no such folder; {expected}; if they were moved, {MEND}")


def _entries(folder: Traversable) -> list[Traversable]:
    try:
        return sorted(folder.iterdir(), key=lambda entry: entry.name)[:N_LOOKED_AT]
    except OSError as error:
        raise BadInput(f"{folder}: cannot be read ({error.strerror}); make it readable, or {MEND}") from error
