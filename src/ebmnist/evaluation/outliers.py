"""Images that are not from p_data, by name: other data sets, noise, corrupted and mixed digits, held-out digits."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ebmnist.data import fashion_mnist, kmnist
from ebmnist.data.base import Dataset, Split
from ebmnist.data.corruptions import CORRUPTIONS, black, constant, uniform_noise
from ebmnist.data.idx import bytes_to_images, read_file, read_test_images
from ebmnist.data.layout import FILES
from ebmnist.data.locate import Published, present
from ebmnist.data.mnist import MNIST
from ebmnist.errors import BadInput
from ebmnist.evaluation.base import take
from ebmnist.evaluation.ranking import N_MIN
from ebmnist.random import AnyRng

PUBLISHED = {"fashion": fashion_mnist.PUBLISHED, "kmnist": kmnist.PUBLISHED}
TAKEN = {"test", "uniform", "constant", "black", "noise σ=0.1"} | {name.replace("_", "-") for name in CORRUPTIONS}


def held_out(dataset: Dataset) -> list[int]:
    """Return the labels that the test split has and training was without."""
    return sorted(set(dataset.test.labels.tolist()) - set(dataset.train.labels.tolist()))


def seen_test(dataset: Dataset) -> Split:
    """Return the test split less the labels that training was without."""
    seen = torch.isin(dataset.test.labels, dataset.train.labels)
    return dataset.test if bool(seen.all()) else dataset.test.at(seen)


def given_sets(folders: Sequence[Path]) -> dict[str, Tensor]:
    """Return the test images of each folder of IDX files, (N, 1, 28, 28), by the folder's name.

    Raises:
        BadInput: `read_test_images` refuses a folder, or it holds too few images, or its name is another set's.
    """
    found: dict[str, Tensor] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in TAKEN or name in found:
            raise BadInput(f"{folder}: {name!r} is already the name of another set of outliers; rename the folder")
        found[name] = read_test_images(folder)
        if len(found[name]) < N_MIN:
            raise BadInput(f"{folder}: {len(found[name])} test images are too few; at least {N_MIN} are needed")
    return found


def other_sets(dataset: Dataset, n: int, given: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return up to n test images of each other known data set, and a phrase for each that cannot be had.

    Nothing is downloaded: a set counts if it is given, bundled, installed or cached.
    """
    found: dict[str, Tensor] = {}
    missing: list[str] = []
    if dataset.name != "mnist":
        found["mnist"] = _first(MNIST().load().test.images, n)
    for name, published in PUBLISHED.items():
        if published.name == dataset.name or name in given:
            continue
        try:
            found[name] = _first(_read(published), n)
        except BadInput as error:
            missing.append(f"{name} ({error})")
    return found | {name: _first(images, n) for name, images in given.items()}, missing


def synthetic_sets(images: Tensor, rng: AnyRng) -> dict[str, Tensor]:
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
    return take(images, n, images.device)
