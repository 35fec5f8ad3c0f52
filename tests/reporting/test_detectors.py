"""A detector on disk: what is read is what was written, and nothing damaged or foreign is used."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.errors import BadInput
from ebmnist.inference.detector import Detector, fit_detector
from ebmnist.reading import parse_json
from ebmnist.reporting.checkpoint import read_sealed, save_checkpoint, write_sealed
from ebmnist.reporting.detectors import FOLDER, read_detector, save_detector
from ebmnist.reporting.tensors import tensors_of
from ebmnist.sampling import AnnealedLangevin, Langevin


class Squares:
    """E = ½‖x‖², whose hidden features are the pixels."""

    def __call__(self, x: Tensor) -> Tensor:
        return 0.5 * x.flatten(1).square().sum(1)

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def split(n: int) -> Split:
    images = torch.randn(n, 1, 2, 2, generator=torch.Generator().manual_seed(n))
    return Split(images, torch.arange(n) % 2)


DATASET = Dataset("noise", split(300), split(50), split(40))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path, tensors={"ema.w": torch.ones(2)}, facts={"step": 3})


def test_what_is_read_is_what_was_written(checkpoint: Path) -> None:
    assert read_detector(checkpoint) is None
    for energy, kernel in ((Squares(), AnnealedLangevin()), (lambda x: x.flatten(1).sum(1), Langevin())):
        detector = fit_detector(energy, kernel, DATASET)
        assert save_detector(checkpoint, detector) == checkpoint / FOLDER
        again = read_detector(checkpoint)
        assert again is not None
        values, values_again = (d.by_name(d.scores(energy, DATASET.test.images, "x")) for d in (detector, again))
        assert values.keys() == values_again.keys()
        for name, score in values.items():
            assert torch.equal(score, values_again[name])  # to the bit: thresholds mean what they did
            judged = zip(detector.judged(name, score), again.judged(name, score), strict=True)
            assert all(torch.equal(a, b) for a, b in judged)


def test_of_other_weights_or_damaged_it_is_refused_with_a_mend(checkpoint: Path) -> None:
    save_detector(checkpoint, fit_detector(Squares(), AnnealedLangevin(), DATASET))
    save_checkpoint(checkpoint.parent, tensors={"ema.w": torch.zeros(2)}, facts={"step": 4})
    other = checkpoint.parent / "step-00000004"
    write_sealed(other / FOLDER, *contents_of(checkpoint / FOLDER))
    with pytest.raises(BadInput, match=r"fitted to other weights; remove the folder [^;]+, then: ebmnist calibrate"):
        read_detector(other)
    facts = checkpoint / FOLDER / "facts.json"
    facts.write_bytes(facts.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    with pytest.raises(BadInput, match=r"facts.json: altered or truncated [^\n]+; remove the folder"):
        read_detector(checkpoint)


def contents_of(folder: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    contents = read_sealed(folder)
    return tensors_of(contents["tensors.safetensors"], "", ""), parse_json(contents["facts.json"], "", "")


def spoilt(name: str, tensors: dict[str, Tensor], facts: dict[str, object]) -> str:
    """Spoil one thing, and return what is said of it."""
    reference = tensors["reference.combined"]
    match name:
        case "missing":
            del tensors["features.mean"]
            return "expected reference.energy"
        case "order":
            tensors["reference.combined"] = reference.flip(0)
            return "the reference of combined is not a rising list"
        case "infinite":
            tensors["features.means"] = tensors["features.means"] / 0
            return "a number is not finite"
        case "shapes":
            tensors["features.means"] = tensors["features.means"][:, :1]
            return "the shapes of the density do not fit together"
        case "variance":
            tensors["features.variances"] = -tensors["features.variances"]
            return "not above 0"
        case "one label":
            for each in ("weights", "means", "variances", "bases"):
                tensors[f"features.{each}"] = tensors[f"features.{each}"][:1]
            del tensors["reference.relative-mahalanobis"], tensors["reference.max-softmax"]
            return "how its scores are combined"
    facts["sigma"] = -1.0
    return "sigma: expected"


@pytest.mark.parametrize("name", ["missing", "order", "infinite", "shapes", "variance", "one label", "sigma"])
def test_what_cannot_be_a_detector_is_refused_though_its_checksums_are_right(name: str, checkpoint: Path) -> None:
    detector: Detector = fit_detector(Squares(), AnnealedLangevin(), DATASET)
    tensors, facts = contents_of(save_detector(checkpoint, detector))
    said = spoilt(name, tensors, facts)
    write_sealed(checkpoint / FOLDER, tensors, facts)
    with pytest.raises(BadInput, match=said):
        read_detector(checkpoint)
