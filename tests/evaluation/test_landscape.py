import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.data.mnist import MNIST
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult
from ebmnist.evaluation.landscape import Landscape, _pairs
from ebmnist.random import Rng
from ebmnist.sampling.langevin import Langevin

SIZES = Landscape(n=100, n_samples=20, n_pairs=25, n_relaxed=20, n_points=5, n_sweeps=2, n_corrupted=20)


def first(split: Split, n: int) -> Split:
    return Split(split.images[:n], split.labels[:n])


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    name, train, validation, test = MNIST().load()
    return Dataset(name, first(train, 300), first(validation, 100), first(test, 300))


def reference_precision(x: Tensor) -> Tensor:
    """E = ‖x‖²/2: along a line it is convex, so no line has a barrier."""
    return 0.5 * x.square().flatten(1).sum(1)


def context(dataset: Dataset, energy: object = reference_precision, n_steps: int = 3) -> EvaluationContext:
    kernel = Langevin(
        step_size=2**0.5, temperature=0.0, clip=None
    )  # one step leads to the minimum of the quadratic reference term
    return EvaluationContext(energy, kernel, n_steps, dataset, torch.device("cpu"))  # type: ignore[arg-type]


def rng() -> Rng:
    return Rng(0)


def by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


@pytest.fixture(scope="module")
def measured(dataset: Dataset) -> SectionResult:
    return SIZES.measure(context(dataset), rng())


def test_levels_of_a_quadratic(dataset: Dataset, measured: SectionResult) -> None:
    metrics, baselines = by_name(measured.metrics), by_name(measured.baselines)
    on_test = reference_precision(dataset.test.images[torch.arange(100) * 3]).double()
    mean, scale = on_test.mean().item(), on_test.std().item()
    assert metrics["E(test), mean"].value == pytest.approx(mean)
    assert metrics["E(test), mean"].error == pytest.approx(scale / 10)
    assert metrics["E(test), standard deviation"].value == pytest.approx(scale)
    assert metrics["energy gap, samples − test"].value == pytest.approx(-mean / scale)  # samples lie at the minimum
    noise = baselines["noise − test"]
    assert abs(noise.value - (784 / 6 - mean) / scale) < 4 * noise.error  # type: ignore[operator]
    assert torch.equal(measured.arrays["energies: samples"], torch.zeros(20))


def test_convex_energies_have_no_barrier_and_concave_ones_have(dataset: Dataset, measured: SectionResult) -> None:
    kinds = ("straight line, one digit", "straight line, two digits", "relaxed path, two digits")
    concave = SIZES.measure(context(dataset, lambda x: -reference_precision(x), n_steps=0), rng())
    for kind in kinds:
        assert by_name(measured.metrics)[f"barrier, {kind}"].value == 0
        assert by_name(measured.metrics)[f"share without a barrier, {kind}"].value == 1
    for kind in kinds[:2]:  # a path that is relaxed finds its way down to white
        assert by_name(concave.metrics)[f"barrier, {kind}"].value > 0


def test_a_quadratic_around_black_darkens_every_pixel(measured: SectionResult) -> None:
    images, descent = measured.arrays["images: overlaid"], measured.arrays["−∇E: overlaid"]
    torch.testing.assert_close(descent, -images)
    assert by_name(measured.metrics)["−∇E towards the clean digit, overlaid"].value > 0.5  # ink too much goes


def test_an_energy_that_knows_the_training_images_shows_a_generalisation_gap(dataset: Dataset) -> None:
    bank = dataset.train.images.flatten(1)

    def memory(x: Tensor) -> Tensor:
        """Distance to the nearest training image."""
        return torch.cdist(x.flatten(1), bank).amin(1)

    gap = by_name(SIZES.measure(context(dataset, memory), rng()).metrics)["generalisation gap, test − train"]
    assert gap.value > 3
    assert gap.error is not None
    assert gap.value > 10 * gap.error


def test_a_held_out_digit_is_no_generalisation_gap(dataset: Dataset) -> None:
    stays = dataset.train.labels != 1
    without = dataset._replace(train=Split(dataset.train.images[stays], dataset.train.labels[stays]))
    found = SIZES.measure(context(without), rng())
    seen = dataset.test.images[dataset.test.labels != 1]
    expected = reference_precision(seen[torch.arange(100) * len(seen) // 100]).mean().item()
    assert by_name(found.metrics)["E(test), mean"].value == pytest.approx(expected)


def test_pairs_are_of_one_digit_or_of_two_and_use_no_image_twice() -> None:
    labels = torch.arange(10).repeat(30)
    for same in (True, False):
        a, b = _pairs(labels, 40, rng(), same=same)
        assert len(a) == len(b) == 40
        assert bool(((labels[a] == labels[b]) == same).all())
        assert len(torch.cat([a, b]).unique()) == 80
    assert labels[_pairs(labels, 40, rng(), same=True)[0]].unique().tolist() == list(range(10))


def test_same_rng_same_metrics(dataset: Dataset, measured: SectionResult) -> None:
    again = SIZES.measure(context(dataset), rng())
    assert (again.metrics, again.baselines) == (measured.metrics, measured.baselines)


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (lambda x: torch.nan * reference_precision(x), "the energy of 100 of 100 images of train is NaN or infinite"),
        (lambda x: 0 * reference_precision(x), "all test images have the same energy"),
    ],
)
def test_a_dead_energy_is_unmeasurable_in_one_line(dataset: Dataset, energy: object, words: str) -> None:
    with pytest.raises(Unmeasurable, match=f"^{words}$"):
        SIZES.measure(context(dataset, energy), rng())


def test_too_little_is_unmeasurable(dataset: Dataset) -> None:
    with pytest.raises(Unmeasurable, match="10 test images are too few"):
        SIZES.measure(context(dataset._replace(test=first(dataset.test, 10))), rng())
    with pytest.raises(Unmeasurable, match="5 pairs of test images are too few"):
        Landscape(n=100, n_samples=5, n_pairs=5).measure(context(dataset), rng())


def test_quick_is_less() -> None:
    assert Landscape.quick().n < Landscape().n
