import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.data.mnist import MNIST
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult
from ebmnist.evaluation.chain_length import ChainLength
from ebmnist.random import Rng
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
from ebmnist.sampling.langevin import Langevin

N = 256


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    train, validation, test = MNIST().load()[1:]

    def first(split: Split, n: int) -> Split:
        return Split(split.images[:n], split.labels[:n])

    return Dataset("mnist, few", first(train, 400), first(validation, 600), first(test, 500))


def flat(x: Tensor) -> Tensor:
    """An energy without a force: chains stay where they began."""
    return 0 * x.flatten(1).sum(1)


def context(dataset: Dataset, energy: object = flat, h: float = 1.0) -> EvaluationContext:
    kernel = Langevin(step_size=(2 * h) ** 0.5, temperature=0.0, clip=None)
    return EvaluationContext(energy, kernel, 1, dataset, torch.device("cpu"))  # type: ignore[arg-type]


def rng() -> Rng:
    return Rng(0)


def by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


@pytest.fixture(scope="module")
def still(dataset: Dataset) -> SectionResult:
    return ChainLength(long=128).measure(context(dataset), rng())


def test_lengths_are_doublings_and_the_last() -> None:
    assert ChainLength(long=4096).lengths() == (64, 128, 256, 512, 1024, 2048, 4096)
    assert ChainLength(long=300).lengths() == (64, 128, 256, 300)
    assert ChainLength(long=64).lengths() == (64,)
    assert ChainLength(long=100_000).lengths()[-2:] == (65_536, 100_000)


def test_chains_that_stand_still_do_not_drift(still: SectionResult) -> None:
    metrics = by_name(still.metrics)
    for start in ("from noise", "from data"):
        assert metrics[f"{start}: best K"].value == 64
        assert metrics[f"{start}: distance at K = 128"] == metrics[f"{start}: distance at K = 64"]._replace(
            name=f"{start}: distance at K = 128"
        )
        assert metrics[f"{start}: drift"].value == 1
        assert metrics[f"{start}: drift"].error == 0


def test_data_that_stand_still_are_at_the_floor_and_noise_is_far(still: SectionResult) -> None:
    metrics = by_name(still.metrics)
    real_reference = by_name(still.baselines)["real reference, training images: Fréchet distance"]
    assert metrics["from data: best distance"].value == pytest.approx(real_reference.value, rel=0.5)
    assert metrics["from noise: best distance"].value > 10 * real_reference.value


def test_curves_agree_with_the_metrics(still: SectionResult) -> None:
    metrics = by_name(still.metrics)
    for start in ("from noise", "from data"):
        key = start.replace(" ", "_")
        assert still.arrays[f"{key}_n_steps"].tolist() == [64, 128]
        distances = [metrics[f"{start}: distance at K = {k}"].value for k in (64, 128)]
        assert still.arrays[f"{key}_distance"].tolist() == pytest.approx(distances)
        assert float(still.arrays[f"{key}_digit_kl"][-1]) == pytest.approx(
            metrics[f"{start}: digit-histogram KL at K = 128"].value
        )
        assert still.arrays[f"{key}_digit_histogram"].sum(1).tolist() == pytest.approx([1, 1])
        images = still.arrays[f"{key}_images"]
        assert images.shape == (2, 10, 1, 28, 28)
        assert torch.equal(images[0], images[1])


def test_data_started_chains_start_from_validation_images(dataset: Dataset, still: SectionResult) -> None:
    distances = torch.cdist(still.arrays["from_data_images"][0].flatten(1), dataset.validation.images.flatten(1))
    assert distances.amin(1).tolist() == pytest.approx([0] * 10, abs=1e-2)


def test_chains_that_leave_the_data_drift(dataset: Dataset) -> None:
    def greying(x: Tensor) -> Tensor:
        """Pixels go to ½, by 0.3 % of the way a step."""
        return 0.5 * (x - 0.5).square().flatten(1).sum(1)

    measured = ChainLength(long=128).measure(context(dataset, greying, h=0.003), rng())
    metrics = by_name(measured.metrics)
    near, far = (metrics[f"from data: distance at K = {k}"].value for k in (64, 128))
    assert metrics["from data: best K"].value == 64
    assert metrics["from data: best distance"].value == near < far
    assert metrics["from data: drift"].value == pytest.approx(far / near)
    assert 0 < (metrics["from data: drift"].error or 0) < far / near


def test_the_chains_are_run_once(dataset: Dataset) -> None:
    calls = []

    def counting(x: Tensor) -> Tensor:
        calls.append(len(x))
        return flat(x)

    told: list[tuple[int, int]] = []
    watched = context(dataset, counting)._replace(progress=lambda *steps: told.append(steps))
    ChainLength(long=130).measure(watched, rng())
    assert calls == [2 * N] * 130
    assert told == [(i + 1, 130) for i in range(130)]


def test_the_best_length_is_chosen_on_images_that_start_no_chain(dataset: Dataset) -> None:
    validation = dataset.validation.at(slice(511))
    with pytest.raises(Unmeasurable, match="511 validation images are too few; 256 start"):
        ChainLength(long=64).measure(context(dataset._replace(validation=validation)), rng())


def test_chains_that_go_blank_end_their_curve_and_keep_what_was_seen(dataset: Dataset) -> None:
    measured = ChainLength(long=256).measure(
        context(dataset, lambda x: x.flatten(1).sum(1), h=0.9 / 64),
        rng(),  # gone by step 72
    )
    metrics = by_name(measured.metrics)
    for start in ("from noise", "from data"):
        assert metrics[f"{start}: chains lost at"].value == 128
        assert "all but constant" in metrics[f"{start}: chains lost at"].note
        assert measured.arrays[f"{start.replace(' ', '_')}_n_steps"].tolist() == [64]


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (lambda x: flat(x) * torch.nan, "from noise, after 64 steps: feature net: 256 of 256 images hold NaN"),
        (lambda x: x.flatten(1).sum(1), "from noise, after 64 steps: .*all but constant"),
    ],
)
def test_a_dead_energy_is_unmeasurable_in_one_line(dataset: Dataset, energy: object, words: str) -> None:
    with pytest.raises(Unmeasurable, match=f"^{words}") as caught:
        ChainLength(long=64).measure(context(dataset, energy), rng())
    assert "\n" not in str(caught.value)


def test_too_few_chains_and_too_few_steps_are_bad_input() -> None:
    with pytest.raises(BadInput, match="chains must be ≥ 256 for 128 features, not 20"):
        ChainLength(n=20)
    with pytest.raises(BadInput, match="long must be ≥ 64, not 10"):
        ChainLength(long=10)
    with pytest.raises(BadInput, match="starts must be some of noise, data, not \\['noise', 'test'\\]"):
        ChainLength(starts=("noise", "test"))


def test_one_start_and_one_length_leave_nothing_to_compare(dataset: Dataset) -> None:
    metrics = by_name(ChainLength(long=64, starts=("data",)).measure(context(dataset), rng()).metrics)
    assert metrics["from data: distance at K = 64"].value < 20
    assert not any("noise" in name or "drift" in name or "best" in name for name in metrics)


@pytest.mark.parametrize(
    ("cycle", "lengths"), [(1, (64, 128, 256, 512, 1000)), (50, (100, 200, 400, 800, 1000)), (300, (300, 600, 900))]
)
def test_chains_are_looked_at_where_cycles_end(cycle: int, lengths: tuple[int, ...]) -> None:
    assert ChainLength(long=1000).lengths(cycle) == lengths


def test_less_than_a_cycle_is_unmeasurable(dataset: Dataset) -> None:
    kernel = AnnealedLangevin(n_hold=20, n_anneal=80)
    with pytest.raises(Unmeasurable, match="64 steps are less than one cycle of 100 steps"):
        ChainLength(long=64).measure(context(dataset)._replace(kernel=kernel), rng())
