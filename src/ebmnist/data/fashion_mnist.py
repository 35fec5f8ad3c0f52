"""Fashion-MNIST, by name: 70,000 images of Zalando's articles in MNIST's format (MIT licence)."""

from dataclasses import dataclass
from pathlib import Path

from ebmnist.data.base import Dataset
from ebmnist.data.idx import read_folder
from ebmnist.data.locate import Published, locate

PUBLISHED = Published(
    name="fashion_mnist",
    base_url="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    md5={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    installed=Path("/usr/share/datasets/fashion-mnist"),  # Debian's package dataset-fashion-mnist
)


@dataclass(frozen=True)
class FashionMNIST:
    """Fashion-MNIST: `root`, else Debian's dataset-fashion-mnist, else the cache, else a checked download.

    Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
    """

    root: Path | None = None
    """Folder with the four IDX files; by default, the set is looked for on this machine, then downloaded."""
    n_validation: int = 5000
    """How many of the training file's last images are held out as the validation split."""
    without: tuple[int, ...] = ()
    """Labels left out of train and validation; test stays whole."""

    def load(self) -> Dataset:
        """Return the three splits. Raises: BadInput if the files cannot be had or are damaged."""
        return read_folder("fashion_mnist", self.root or locate(PUBLISHED), self.n_validation, self.without)
