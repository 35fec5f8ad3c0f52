from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.data.mnist import MNIST
from ebmnist.evaluation import ood, outliers
from ebmnist.evaluation.base import Figure, Measured, Subject, Unmeasurable
from ebmnist.evaluation.ood import OutOfDistribution
from ebmnist.random import Rng
from ebmnist.sampling.cyclic import Cyclic
from ebmnist.sampling.langevin import Langevin

SIZES = OutOfDistribution(n=100, n_reference=200)


def first(split: Split, n: int) -> Split:
    return Split(split.images[:n], split.labels[:n])


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    name, train, validation, test = MNIST().load()
    return Dataset(name, first(train, 900), first(validation, 100), first(test, 600))


@pytest.fixture(autouse=True)
def _no_other_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is installed here is not looked at."""
    monkeypatch.setattr(ood, "other_sets", lambda *_: ({}, ["fashion (neither installed nor cached)"]))


def ink(x: Tensor) -> Tensor:
    return x.flatten(1).mean(1)


def subject(dataset: Dataset, energy: object = ink) -> Subject:
    return Subject(energy, Langevin(), 1, dataset, torch.device("cpu"))  # type: ignore[arg-type]


def rng() -> Rng:
    return Rng(0)


def by_name(figures: tuple[Figure, ...]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


@pytest.fixture(scope="module")
def measured(dataset: Dataset) -> Measured:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ood, "other_sets", lambda _, n, __: ({"fashion": torch.ones(n, 1, 28, 28)}, []))
        return SIZES.measure(subject(dataset), rng())


def test_an_energy_of_ink_ranks_by_ink(measured: Measured) -> None:
    figures = by_name(measured.figures)
    expected = {"fashion": 1, "uniform": 1, "inverted": 1, "black": 0}
    assert {name: figures[f"E: {name} AUROC"].value for name in expected} == expected
    assert figures["|E − median|: black AUROC"].value > 0.9
    for same_ink in ("hflip", "rot90", "pixel-permuted"):
        figure = figures[f"E: {same_ink} AUROC"]
        assert abs(figure.value - 0.5) < 4 * figure.error  # type: ignore[operator]
    assert figures["‖∇E‖: fashion AUROC"].value == 0.5  # a gradient that is everywhere the same is one great tie
    assert figures["‖∇E‖: fashion FPR@95"].value == 1


def test_where_chains_walk_warm_the_energy_is_taken_there_too(dataset: Dataset) -> None:
    """An energy that sees only how rough an image is: with warm noise on it, black is hardly smoother than a digit."""

    def roughness(x: Tensor) -> Tensor:
        return (x[..., 1:] - x[..., :-1]).flatten(1).square().sum(1)

    measured = SIZES.measure(subject(dataset, roughness)._replace(kernel=Cyclic(hot=0.3)), rng())
    figures = by_name(measured.figures)
    assert figures["E: black AUROC"].value == 0
    assert figures["warm E: black AUROC"].value < 0.1
    assert figures["warm E: uniform AUROC"].value == 1
    assert "σ = 0.3" in measured.method
    cold = by_name(SIZES.measure(subject(dataset, roughness), rng()).figures)
    assert not any(name.startswith("warm E") for name in cold)


def test_every_set_has_every_score_and_metric(measured: Measured) -> None:
    sets = [name.removeprefix("images: ") for name in measured.arrays if name.startswith("images: ")]
    assert len(sets) == 15
    metrics = ("AUROC", "AUPR", "FPR@95")
    assert set(by_name(measured.figures)) == {
        f"{s}: {x} {m}" for s in ood.OF_THE_ENERGY[:3] for x in sets for m in metrics
    }
    baselines = ("Mahalanobis", "PCA", "5-NN")
    assert set(by_name(measured.anchors)) == {f"{s}: {x} {m}" for s in baselines for x in sets for m in metrics}
    assert all(f.error is not None and f.error >= 0 for f in measured.figures + measured.anchors)


def test_baselines_tell_noise_from_digits(measured: Measured) -> None:
    anchors = by_name(measured.anchors)
    assert [anchors[f"{name}: uniform AUROC"].value for name in ("Mahalanobis", "PCA", "5-NN")] == [1, 1, 1]


def test_same_rng_same_figures_and_what_is_missing_is_said(dataset: Dataset, measured: Measured) -> None:
    again = SIZES.measure(subject(dataset), rng())
    assert again.figures == tuple(f for f in measured.figures if "fashion" not in f.name)
    assert "fashion (neither installed nor cached)" in again.method


def test_a_set_that_is_given_is_one_more_kind_of_outliers(dataset: Dataset, measured: Measured) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ood, "other_sets", outliers.other_sets)
        patch.setattr(outliers, "PUBLISHED", {})
        given = {"letters": torch.ones(30, 1, 28, 28), "many": torch.zeros(150, 1, 28, 28)}
        found = replace(SIZES, given=given).measure(subject(dataset), rng())
    figures, anchors = by_name(found.figures), by_name(found.anchors)
    assert (figures["E: letters AUROC"].value, figures["E: many AUROC"].value) == (1, 0)
    assert anchors["chance: letters AUPR"].value == pytest.approx(30 / 130)
    assert "chance: many AUPR" not in anchors  # 100 were taken, as many as there are digits
    assert "Given: letters, 30 of 30 test images. Given: many, 100 of 150 test images. " in found.method
    others = [f for f in found.figures if "letters" not in f.name and "many" not in f.name]
    assert others == [f for f in measured.figures if "fashion" not in f.name]


def test_a_held_out_digit_is_an_anomaly_among_the_test_images(dataset: Dataset, measured: Measured) -> None:
    stays = dataset.train.labels != 1
    without = dataset._replace(train=Split(dataset.train.images[stays], dataset.train.labels[stays]))
    found = SIZES.measure(subject(without, lambda x: -ink(x)), rng())  # a one has the least ink
    figures, anchors = by_name(found.figures), by_name(found.anchors)
    assert figures["E: held-out 1 AUROC"].value > 0.9
    labels = dataset.test.labels[torch.arange(500) * 600 // 500]  # 5 n of the 600
    assert anchors["chance: held-out 1 AUPR"].value == pytest.approx(float((labels == 1).float().mean()))
    assert figures["E: held-out 1 AUPR"].value > 4 * anchors["chance: held-out 1 AUPR"].value
    assert "Training was without 1" in found.method
    assert not any("held-out" in f.name for f in measured.figures)  # trained on every digit


@pytest.mark.parametrize("energy", [lambda x: ink(x).log(), lambda x: (ink(x) - 2).sqrt()])
def test_energies_that_are_no_numbers_are_unmeasurable_in_one_line(dataset: Dataset, energy: object) -> None:
    with pytest.raises(Unmeasurable, match=r"^the energy of \d+ of 100 images of \w+ is NaN") as caught:
        SIZES.measure(subject(dataset, energy), rng())
    assert "\n" not in str(caught.value)


def test_too_few_test_images_are_unmeasurable(dataset: Dataset) -> None:
    with pytest.raises(Unmeasurable, match="30 test images are too few"):
        SIZES.measure(subject(dataset._replace(test=first(dataset.test, 30))), rng())


def test_quick_is_less() -> None:
    assert OutOfDistribution.quick().n < OutOfDistribution().n
