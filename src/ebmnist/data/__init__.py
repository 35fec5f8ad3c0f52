"""x⁺ ~ p_data: where images come from, how they are batched, read from a person's files, and corrupted."""

from ebmnist.data.base import Dataset, Source, Split
from ebmnist.data.batches import Batches
from ebmnist.data.corruptions import CORRUPTIONS, add_noise
from ebmnist.data.fashion_mnist import FashionMNIST
from ebmnist.data.idx import IDX, read_idx
from ebmnist.data.images import check_images, read_images
from ebmnist.data.kmnist import KMNIST
from ebmnist.data.many import ManyImages, identity_of, open_images
from ebmnist.data.mnist import MNIST

REGISTRY: dict[str, type[Source]] = {
    "mnist": MNIST,
    "fashion_mnist": FashionMNIST,
    "kmnist": KMNIST,
    "idx": IDX,
}

__all__ = [
    "CORRUPTIONS",
    "IDX",
    "KMNIST",
    "MNIST",
    "REGISTRY",
    "Batches",
    "Dataset",
    "FashionMNIST",
    "ManyImages",
    "Source",
    "Split",
    "add_noise",
    "check_images",
    "identity_of",
    "open_images",
    "read_idx",
    "read_images",
]
