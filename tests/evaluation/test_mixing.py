import math

import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.data.mnist import MNIST
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult
from ebmnist.evaluation.mixing import FUNCTIONALS, MALA_SCALES, Mixing
from ebmnist.random import Rng
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
from ebmnist.sampling.langevin import Langevin

SMALL = Mixing(n=20, n_steps=160, every=4, n_mala=2)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    train, validation, test = MNIST().load()[1:]
    few = Split(train.images[:500], train.labels[:500])
    return Dataset("mnist, few", few, Split(validation.images[:40], validation.labels[:40]), test)


def near_grey(x: Tensor) -> Tensor:
    """E(x) = 50 ‖x − ½‖²: pixels N(½, 0.1²) at T = 1, away from the walls."""
    return 50 * (x - 0.5).square().flatten(1).sum(1)


def context(dataset: Dataset, energy: object = near_grey, **fields: object) -> EvaluationContext:
    # ε²/2 · 100 = ½: a step halves the distance to the mean, so ρ_t = 2^-t.
    kernel = Langevin(step_size=0.1, temperature=1.0, clip=None)
    return EvaluationContext(energy, kernel, 40, dataset, torch.device("cpu"))._replace(**fields)  # type: ignore[arg-type]


def rng() -> Rng:
    return Rng(0)


def by_name(measured: SectionResult) -> dict[str, Metric]:
    return {metric.name: metric for metric in measured.metrics}


@pytest.fixture(scope="module")
def mixed(dataset: Dataset) -> SectionResult:
    return SMALL.measure(context(dataset), rng())


@pytest.fixture(scope="module")
def stuck(dataset: Dataset) -> SectionResult:
    """No force, hardly any noise: chains stay where they began."""
    kernel = Langevin(step_size=0.1, temperature=1e-8, clip=None)
    return SMALL.measure(context(dataset, lambda x: 0.01 * x.flatten(1).sum(1), kernel=kernel), rng())


def test_chains_that_mix_agree_and_forget(mixed: SectionResult) -> None:
    metrics = by_name(mixed)
    for group in FUNCTIONALS:
        assert metrics[f"{group}: R̂"].value == pytest.approx(1, abs=0.07)
        assert 0.4 * 800 < metrics[f"{group}: bulk ESS"].value < 3 * 800
        assert 0.2 * 800 < metrics[f"{group}: tail ESS"].value < 3 * 800
        assert abs(metrics[f"{group}: autocorrelation at 80 steps"].value) < 0.3
        assert metrics[f"{group}: bulk ESS"].unit == "of 800 draws"


def test_the_autocorrelation_of_ink_is_the_known_one(mixed: SectionResult) -> None:
    assert mixed.arrays["lags"][:3].tolist() == [0, 4, 8]
    assert mixed.arrays["autocorrelation"][1, :3].tolist() == pytest.approx([1, 2**-4, 2**-8], abs=0.12)


def test_chains_that_stay_apart_are_seen_not_to_mix(stuck: SectionResult) -> None:
    metrics = by_name(stuck)
    for group in ("energy", "mean intensity", "digit logits"):
        assert metrics[f"{group}: R̂"].value > 3
        assert metrics[f"{group}: bulk ESS"].value < 80
        assert metrics[f"{group}: autocorrelation at 80 steps"].value > 0.8
    assert metrics["label changes per 100 steps"].value == 0


def test_label_changes_are_counted_from_the_labels(mixed: SectionResult) -> None:
    labels = mixed.arrays["labels"]
    changes = (labels.diff(dim=1) != 0).double().sum() / labels.shape[0] / 39
    assert by_name(mixed)["label changes per 100 steps"].value == pytest.approx(float(changes) * 100 / 4)
    assert labels.shape == (20, 40)


def test_half_the_chains_start_from_data_and_half_from_noise(stuck: SectionResult) -> None:
    ink = stuck.arrays["traces"][:, 0, 1]
    assert ink[:8].tolist() == pytest.approx([0.5] * 8, abs=0.1)
    assert float(ink[8:].max()) < 0.3


def test_acceptance_is_that_of_the_kernel_s_own_step(mixed: SectionResult) -> None:
    metrics, curve = by_name(mixed), mixed.arrays["mala_acceptance"].tolist()
    assert metrics["MALA acceptance"].value == curve[0]
    assert curve[0] < 0.1
    assert curve[2] > 0.95
    assert len(curve) == len(MALA_SCALES)
    half = metrics["MALA step accepted half the time"].value
    assert half == max(s for s, share in zip(MALA_SCALES, curve, strict=True) if share >= 0.5)


def test_figures_have_errors_and_names_of_their_own(mixed: SectionResult) -> None:
    assert len(by_name(mixed)) == len(mixed.metrics)
    assert all(f.error is not None and 0 <= f.error < math.inf for f in mixed.metrics if "half the time" not in f.name)


def test_the_same_rng_gives_the_same_metrics(dataset: Dataset, mixed: SectionResult) -> None:
    told: list[tuple[int, int]] = []
    watched = context(dataset)._replace(progress=lambda *steps: told.append(steps))
    assert SMALL.measure(watched, rng()).metrics == mixed.metrics
    assert told == [(i + 1, 200) for i in range(200)]  # 40 to warm up, 160 that are measured


def test_warmup_is_the_recipe_s_chain_length_unless_given(dataset: Dataset) -> None:
    calls = []

    def counting(x: Tensor) -> Tensor:
        if x.requires_grad:
            calls.append(len(x))
        return near_grey(x)

    Mixing(n=20, n_steps=8, every=1, n_mala=1).measure(context(dataset, counting), rng())
    n_calls = len(calls)
    Mixing(n=20, n_steps=8, every=1, n_mala=1, n_warmup=3).measure(context(dataset, counting), rng())
    assert len(calls) - n_calls == n_calls - 40 + 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"energy": lambda x: 0 * near_grey(x)}, "energy: R̂: the draws of all chains are alike"),
        ({"energy": lambda x: near_grey(x) * torch.nan}, "20 of 20 chains hold NaN"),
        ({"kernel": Langevin(temperature=0.0)}, "the kernel's temperature is 0"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(dataset: Dataset, fields: dict[str, object], words: str) -> None:
    with pytest.raises(Unmeasurable, match=f"^{words}") as caught:
        Mixing(n=20, n_steps=16, every=2).measure(context(dataset)._replace(**fields), rng())  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_too_few_chains_are_unmeasurable(dataset: Dataset) -> None:
    with pytest.raises(Unmeasurable, match="10 chains are too few"):
        Mixing(n=10).measure(context(dataset), rng())
    with pytest.raises(Unmeasurable, match="40 validation images are too few to start 50"):
        Mixing(n=100).measure(context(dataset), rng())


def test_too_few_draws_are_bad_input() -> None:
    with pytest.raises(BadInput, match="n_steps ≥ 8 × every"):
        Mixing(n_steps=70, every=10)


def test_an_annealed_chain_is_looked_at_once_a_cycle(dataset: Dataset) -> None:
    kernel = AnnealedLangevin(
        step_size=0.1, temperature=1e-4, sigma_max=0.02, sigma_min=0.01, n_hold=2, n_anneal=3, clip=None
    )
    measured = SMALL.measure(context(dataset, kernel=kernel), rng())
    assert measured.arrays["lags"][:3].tolist() == [0, 5, 10]
    assert measured.arrays["labels"].shape == (20, 32)
    assert "one every 5 steps" in measured.method
