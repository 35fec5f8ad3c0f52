import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult
from ebmnist.evaluation.likelihood import Likelihood, independent_pixels
from ebmnist.random import Rng
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
from ebmnist.sampling.base import Kernel
from ebmnist.sampling.langevin import Langevin

SMALL = Likelihood(n_fit=500, n_validation=100, n_test=500, n_flow=100, n_levels=4, n_steps=5)
N_BITS, SIDE = 3, 6  # of the patterns, and pixels of a side


def patterns(n: int, rng: torch.Generator) -> Split:
    """Three stripes, each black or white: three bits in 36 pixels."""
    stripes = torch.randint(2, (n, N_BITS), generator=rng)
    images = stripes.float().repeat_interleave(2, 1)[:, None, None].expand(-1, 1, SIDE, -1)
    return Split(images.contiguous(), stripes[:, 0])


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = torch.Generator().manual_seed(3)
    return Dataset("stripes", patterns(1500, rng), patterns(300, rng), patterns(500, rng))


def energy(y: Tensor) -> Tensor:
    """κ/2 times the squared distance to the nearest pattern: exact where there is little noise."""
    stripes = y.view(len(y), SIDE, N_BITS, 2)
    nearest = (stripes.mean((1, 3)) > 0.5).to(y)[:, None, :, None]
    return 0.5 * 0.05 * (stripes - nearest).square().flatten(1).sum(1)


def context(dataset: Dataset, of: object = energy, kernel: Kernel | None = None) -> EvaluationContext:
    kernel = AnnealedLangevin() if kernel is None else kernel
    return EvaluationContext(of, kernel, 128, dataset, torch.device("cpu"))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured(dataset: Dataset) -> SectionResult:
    return SMALL.measure(context(dataset), Rng(0))


def by_name(found: SectionResult) -> dict[str, Metric]:
    return {metric.name.removeprefix("bits per dimension, "): metric for metric in (*found.metrics, *found.baselines)}


def test_the_bound_holds_the_entropy_and_is_close_to_it(measured: SectionResult) -> None:
    entropy = N_BITS / SIDE**2
    found = by_name(measured)
    for name in ("at most", "at most, uncalibrated", "Gaussian denoiser, at most"):
        error = found[name].error
        assert error is not None
        assert entropy - 4 * error < found[name].value < 2 * entropy
    assert found["independent pixels"].value == pytest.approx(1, abs=0.05)
    assert found["uniform"].value == 8


def test_the_parts_sum_to_the_bound(measured: SectionResult) -> None:
    found = by_name(measured)
    nats = sum(found[f"{part} of the bound"].value for part in ("prior", "diffusion", "decoder"))
    assert found["at most"].value == pytest.approx(nats / math.log(2) / SIDE**2)
    curves = {f"validation, {name}" for name in ("calibrated", "uncalibrated", "probability flow")}
    assert set(measured.arrays) == {"sigma_min", *curves}


def test_same_rng_same_figures(dataset: Dataset, measured: SectionResult) -> None:
    assert SMALL.measure(context(dataset), Rng(0)).metrics == measured.metrics


def test_an_energy_of_one_temperature_has_a_bound_and_no_flow(dataset: Dataset) -> None:
    found = SMALL.measure(context(dataset, kernel=Langevin()), Rng(0))
    assert "probability flow" not in by_name(found)
    assert by_name(found)["at most"].value < 2 * N_BITS / SIDE**2
    assert "no probability flow" in found.method


def test_a_dead_energy_is_unmeasurable_in_one_line(dataset: Dataset) -> None:
    with pytest.raises(Unmeasurable, match="NaN or infinite") as caught:
        SMALL.measure(context(dataset, lambda x: energy(x) * torch.nan), Rng(0))
    assert "\n" not in str(caught.value)


def test_too_few_images_are_unmeasurable(dataset: Dataset) -> None:
    few = dataset._replace(validation=dataset.validation.at(slice(99)))
    with pytest.raises(Unmeasurable, match="a split has fewer than 100 images"):
        SMALL.measure(context(few), Rng(0))


@pytest.mark.parametrize("fields", [{"n_fit": 99}, {"n_flow": 19}, {"n_levels": 1}, {"n_steps": 0}])
def test_a_size_out_of_range_is_bad_input(fields: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="likelihood: n_"):
        replace(SMALL, **fields)  # type: ignore[arg-type]


def test_independent_pixels_take_their_entropy() -> None:
    rng = torch.Generator().manual_seed(0)
    shares = torch.tensor([0.5, 0.1, 1.0, 0.25])
    train, x = ((torch.rand(n, 1, 2, 2, generator=rng) < shares.view(2, 2)).float() for n in (20_000, 4000))
    nats = independent_pixels(train, x)
    exact = float(-(torch.xlogy(shares, shares) + torch.xlogy(1 - shares, 1 - shares)).sum())
    assert float(nats.mean()) == pytest.approx(exact, abs=4 * float(nats.std()) / 4000**0.5 + 0.01)


class Told:
    """E(y, σ) = −log of the mean of N(y; pattern, σ²) over the eight patterns: exactly normalised at every σ."""

    levels = (0.05, 4.0)

    def __call__(self, y: Tensor, sigma: Tensor | None = None) -> Tensor:
        sigma = y.new_full(y.shape[:1], self.levels[0]) if sigma is None else sigma
        bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * N_BITS)
        images = bits.repeat_interleave(2, 1)[:, None, :].expand(-1, SIDE, -1).flatten(1)
        squares = (y.flatten(1)[:, None] - images).square().sum(2) / sigma[:, None].square()
        constant = SIDE**2 / 2 * torch.log(2 * math.pi * sigma.square()) + N_BITS * math.log(2)
        return constant - torch.logsumexp(-0.5 * squares, 1)


def test_a_normalised_energy_says_its_own_likelihood_and_agrees_with_the_flow(dataset: Dataset) -> None:
    kernel = AnnealedLangevin(0.025, temperature=1.0, sigma_min=0.05, sigma_max=2.0, clip=None, clamp=None)
    measure = replace(SMALL, n_steps=12)
    found = by_name(measure.measure(context(dataset, Told(), kernel), Rng(0)))
    own, log_z = found["normalised energy"], found["log Z at σ = 4"]
    gap = found["normalised energy less probability flow"]
    assert own.error is not None
    assert log_z.error is not None
    assert own.value == pytest.approx(N_BITS / SIDE**2, abs=0.02)  # the decoder is fitted, and costs a little
    assert own.value < found["at most"].value + 3 * own.error
    assert abs(log_z.value) < 4.5 * log_z.error
    assert abs(gap.value) < 0.5  # nats, with 12 steps of the solver


def test_an_energy_that_is_told_nothing_has_no_such_metric(measured: SectionResult) -> None:
    assert "normalised energy" not in by_name(measured)
    assert "Normalised energy" not in measured.method
