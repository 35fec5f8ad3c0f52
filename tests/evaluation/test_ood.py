from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.data.mnist import MNIST
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation import ood, outliers
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult
from ebmnist.evaluation.ood import OutOfDistribution
from ebmnist.random import Rng
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
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


def context(dataset: Dataset, energy: object = ink) -> EvaluationContext:
    return EvaluationContext(energy, Langevin(), 1, dataset, torch.device("cpu"))  # type: ignore[arg-type]


def rng() -> Rng:
    return Rng(0)


def by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


@pytest.fixture(scope="module")
def measured(dataset: Dataset) -> SectionResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ood, "other_sets", lambda _, n, __: ({"fashion": torch.ones(n, 1, 28, 28)}, []))
        return SIZES.measure(context(dataset), rng())


def test_an_energy_of_ink_ranks_by_ink(measured: SectionResult) -> None:
    metrics = by_name(measured.metrics)
    expected = {"fashion": 1, "uniform": 1, "inverted": 1, "black": 0}
    assert {name: metrics[f"E: {name} AUROC"].value for name in expected} == expected
    assert metrics["|E − median|: black AUROC"].value > 0.9
    for same_ink in ("hflip", "rot90", "pixel-permuted"):
        metric = metrics[f"E: {same_ink} AUROC"]
        assert abs(metric.value - 0.5) < 4 * metric.error  # type: ignore[operator]
    assert metrics["‖∇E‖: fashion AUROC"].value == 0.5  # a gradient that is everywhere the same is one great tie
    assert metrics["‖∇E‖: fashion FPR@95"].value == 1


def test_where_chains_walk_warm_the_energy_is_taken_there_too(dataset: Dataset) -> None:
    """An energy that sees only how rough an image is: under noise, black is hardly smoother than a digit."""

    def roughness(x: Tensor) -> Tensor:
        return (x[..., 1:] - x[..., :-1]).flatten(1).square().sum(1)

    measured = SIZES.measure(context(dataset, roughness)._replace(kernel=AnnealedLangevin(sigma_max=0.3)), rng())
    metrics = by_name(measured.metrics)
    assert metrics["E: black AUROC"].value == 0
    assert metrics["noise-averaged E: black AUROC"].value < 0.1
    assert metrics["noise-averaged E: uniform AUROC"].value == 1
    assert "σ = 0.3" in measured.method
    without = by_name(SIZES.measure(context(dataset, roughness), rng()).metrics)
    assert not any(name.startswith("noise-averaged E") for name in without)


def test_every_set_has_every_score_and_metric(measured: SectionResult) -> None:
    sets = [name.removeprefix("images: ") for name in measured.arrays if name.startswith("images: ")]
    assert len(sets) == 15
    metrics = ("AUROC", "AUPR", "FPR@95")
    assert set(by_name(measured.metrics)) == {
        f"{s}: {x} {m}" for s in (*ood.OF_THE_ENERGY[:3], "combined") for x in sets for m in metrics
    }
    baselines = ("Mahalanobis", "PCA", "5-NN")
    assert set(by_name(measured.baselines)) == {f"{s}: {x} {m}" for s in baselines for x in sets for m in metrics}
    assert all(f.error is not None and f.error >= 0 for f in measured.metrics + measured.baselines)


def test_baselines_tell_noise_from_digits(measured: SectionResult) -> None:
    baselines = by_name(measured.baselines)
    assert [baselines[f"{name}: uniform AUROC"].value for name in ("Mahalanobis", "PCA", "5-NN")] == [1, 1, 1]


def test_same_rng_same_figures_and_what_is_missing_is_said(dataset: Dataset, measured: SectionResult) -> None:
    again = SIZES.measure(context(dataset), rng())
    assert again.metrics == tuple(f for f in measured.metrics if "fashion" not in f.name)
    assert "fashion (neither installed nor cached)" in again.method


def test_a_set_that_is_given_is_one_more_kind_of_outliers(dataset: Dataset, measured: SectionResult) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ood, "other_sets", outliers.other_sets)
        patch.setattr(outliers, "PUBLISHED", {})
        given = {"letters": torch.ones(30, 1, 28, 28), "many": torch.zeros(150, 1, 28, 28)}
        found = replace(SIZES, given=given).measure(context(dataset), rng())
    metrics, baselines = by_name(found.metrics), by_name(found.baselines)
    assert (metrics["E: letters AUROC"].value, metrics["E: many AUROC"].value) == (1, 0)
    assert baselines["chance: letters AUPR"].value == pytest.approx(30 / 130)
    assert "chance: many AUPR" not in baselines  # 100 were taken, as many as there are digits
    assert "Given: letters, 30 of 30 test images. Given: many, 100 of 150 test images. " in found.method
    others = [f for f in found.metrics if "letters" not in f.name and "many" not in f.name]
    assert others == [f for f in measured.metrics if "fashion" not in f.name]


def test_a_held_out_digit_is_an_anomaly_among_the_test_images(dataset: Dataset, measured: SectionResult) -> None:
    stays = dataset.train.labels != 1
    without = dataset._replace(train=Split(dataset.train.images[stays], dataset.train.labels[stays]))
    found = SIZES.measure(context(without, lambda x: -ink(x)), rng())  # a one has the least ink
    metrics, baselines = by_name(found.metrics), by_name(found.baselines)
    assert metrics["E: held-out 1 AUROC"].value > 0.9
    share = float((dataset.test.labels == 1).float().mean())  # all 600 images
    assert baselines["chance: held-out 1 AUPR"].value == pytest.approx(share)
    assert metrics["E: held-out 1 AUPR"].value > 4 * baselines["chance: held-out 1 AUPR"].value
    assert "Training was without 1" in found.method
    assert not any("held-out" in f.name for f in measured.metrics)  # trained on every digit


@pytest.mark.parametrize("energy", [lambda x: ink(x).log(), lambda x: (ink(x) - 2).sqrt()])
def test_energies_that_are_no_numbers_are_unmeasurable_in_one_line(dataset: Dataset, energy: object) -> None:
    with pytest.raises(Unmeasurable, match=r"^the energy of \d+ of \d+ images of \w+ is NaN") as caught:
        SIZES.measure(context(dataset, energy), rng())
    assert "\n" not in str(caught.value)


def test_too_few_test_images_are_unmeasurable(dataset: Dataset) -> None:
    with pytest.raises(Unmeasurable, match="30 test images are too few"):
        SIZES.measure(context(dataset._replace(test=first(dataset.test, 30))), rng())


def test_quick_is_less() -> None:
    assert OutOfDistribution.quick().n < OutOfDistribution().n
