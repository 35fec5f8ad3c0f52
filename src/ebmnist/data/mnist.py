"""MNIST, bundled with the package: 70,000 handwritten digits of LeCun, Cortes and Burges (CC BY-SA 3.0)."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from torch import Tensor

from ebmnist.data.base import Dataset
from ebmnist.data.idx import idx_tensor, to_dataset
from ebmnist.data.layout import FILES, find, place_of
from ebmnist.errors import BadInput
from ebmnist.reading import inflate, read_bytes

SHA256 = {  # of the four files, decompressed
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
LARGEST_FILE = 50_000_000  # bytes; the training images are 47,040,016


@dataclass(frozen=True)
class MNIST:
    """MNIST: 55,000 images for training, 5,000 for validation (the training file's last), 10,000 for test.

    The four files come with the package, and their SHA-256 is checked.
    Source: LeCun, Bottou, Bengio and Haffner 1998.
    """

    root: Path | None = None
    """Another folder with the same four files (.gz and .xz are read too); by default, the bundled ones."""
    n_validation: int = 5000
    """How many of the training file's last images are held out as the validation split."""
    without: tuple[int, ...] = ()
    """Digits left out of train and validation; test stays whole."""

    def load(self) -> Dataset:
        """Return the three splits. Raises: BadInput if a file is missing, damaged or not MNIST's."""
        if self.root is None:
            tensors = {name: _read_bundled(name) for name in FILES}
        else:
            place = place_of(self.root)
            tensors = {name: _read_verified(place, name) for name in FILES}
        return to_dataset("mnist", tensors, self.n_validation, self.without, str(self.root or "MNIST"))


def _read_verified(folder: Traversable, name: str) -> Tensor:
    file = find(folder, name)
    raw = inflate(read_bytes(file, LARGEST_FILE), str(file), LARGEST_FILE)
    if hashlib.sha256(raw).hexdigest() != SHA256[name]:
        raise BadInput(
            f"{file}: not MNIST's file (its SHA-256 differs): fetch it again, or use kind idx for another set"
        )
    return idx_tensor(raw, str(file))


@cache  # Decompression is most of the loading time; the 55 MB that are kept are the pixels of every split.
def _read_bundled(name: str) -> Tensor:
    return _read_verified(files("ebmnist.data") / "bundled", name)
