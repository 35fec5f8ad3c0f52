"""Kuzushiji-MNIST, by name: 70,000 cursive Japanese characters in MNIST's format (CC BY-SA 4.0)."""

from dataclasses import dataclass
from pathlib import Path

from ebmnist.data.base import Dataset
from ebmnist.data.idx import read_folder
from ebmnist.data.locate import Published, locate

PUBLISHED = Published(
    name="kmnist",
    base_url="http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    md5={
        "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
    },
)


@dataclass(frozen=True)
class KMNIST:
    """Kuzushiji-MNIST: `root`, else the cache, else a checked download.

    Source: Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto and Ha 2018, arXiv:1812.01718.
    """

    root: Path | None = None
    """Folder with the four IDX files; by default, the set is looked for in the cache, then downloaded."""
    n_validation: int = 5000
    """How many of the training file's last images are held out as the validation split."""
    without: tuple[int, ...] = ()
    """Labels left out of train and validation; test stays whole."""

    def load(self) -> Dataset:
        """Return the three splits. Raises: BadInput if the files cannot be had or are damaged."""
        return read_folder("kmnist", self.root or locate(PUBLISHED), self.n_validation, self.without)
