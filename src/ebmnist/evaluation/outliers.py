"""Images that are not from p_data, by name: other data sets, noise, corrupted and mixed digits, held-out digits."""

import torch
from torch import Tensor

from ebmnist.data import fashion_mnist, kmnist
from ebmnist.data.base import Dataset, Split
from ebmnist.data.corruptions import CORRUPTIONS, black, constant, uniform_noise
from ebmnist.data.idx import FILES, bytes_to_images, read_file
from ebmnist.data.locate import Published, present
from ebmnist.data.mnist import MNIST
from ebmnist.errors import BadInput
from ebmnist.evaluation.yardstick import spread

PUBLISHED = {"fashion": fashion_mnist.PUBLISHED, "kmnist": kmnist.PUBLISHED}


def held_out(dataset: Dataset) -> list[int]:
    """Return the labels that the test split has and training was without."""
    return sorted(set(dataset.test.labels.tolist()) - set(dataset.train.labels.tolist()))


def seen_test(dataset: Dataset) -> Split:
    """Return the test split less the labels that training was without."""
    images, labels = dataset.test
    seen = torch.isin(labels, dataset.train.labels)
    return dataset.test if bool(seen.all()) else Split(images[seen], labels[seen])


def other_sets(dataset: Dataset, n: int) -> tuple[dict[str, Tensor], list[str]]:
    """Return up to n test images of each other known data set, and a phrase for each that cannot be had.

    Nothing is downloaded: a set counts if it is bundled, installed or cached.
    """
    found: dict[str, Tensor] = {}
    missing: list[str] = []
    if dataset.name != "mnist":
        found["mnist"] = _first(MNIST().load().test.images, n)
    for name, published in PUBLISHED.items():
        if published.name == dataset.name:
            continue
        try:
            found[name] = _first(_read(published), n)
        except BadInput as error:
            missing.append(f"{name} ({error})")
    return found, missing


def synthetic_sets(images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
    """Return as many images as given, (N, 1, 28, 28), of noise, of one grey, of black, and by every corruption."""
    n = len(images)
    sets = {"uniform": uniform_noise(n, rng), "constant": constant(n, rng), "black": black(n)}
    sets |= {name.replace("_", "-"): corrupt(images, rng) for name, corrupt in CORRUPTIONS.items()}
    sets["noise σ=0.1"] = sets.pop("noise")
    return {name: x.to(images.device) for name, x in sets.items()}


def _read(published: Published) -> Tensor:
    folder = present(published)
    if folder is None:
        raise BadInput("neither installed nor cached")
    return bytes_to_images(read_file(folder, FILES[2]), f"{folder}: {FILES[2]}")


def _first(images: Tensor, n: int) -> Tensor:
    return images[spread(len(images), min(n, len(images)))]
