import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, SectionResult
from ebmnist.evaluation.denoising import Denoising
from ebmnist.random import Rng
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
from ebmnist.sampling.langevin import Langevin
from targets import Gaussian

SIGMA = 0.1
SMALL = Denoising(sigmas=(SIGMA,), n=40, n_validation=20, n_samples=2, n_updates=2)


def split(n: int, seed: int) -> Split:
    """Images of independent pixels N(½, 0.1²)."""
    x = Gaussian(0.5, 0.1).draw(n, (1, 28, 28), torch.Generator().manual_seed(seed))
    return Split(x.clamp(0, 1), torch.arange(n) % 10)


DATASET = Dataset("grey", split(3000, 1), split(20, 2), split(40, 3))


def context(energy: object = Gaussian(0.5, 0.1), kernel: object = None) -> EvaluationContext:
    # ε²/2 = 0.0025: a descent step takes a quarter of the way to ½, so a half is between two and three.
    kernel = kernel or Langevin(step_size=0.005**0.5, temperature=1.0, clip=None)
    return EvaluationContext(energy, kernel, 1, DATASET, torch.device("cpu"))  # type: ignore[arg-type]


def rng() -> Rng:
    return Rng(0)


@pytest.fixture(scope="module")
def measured() -> SectionResult:
    return SMALL.measure(context(), rng())


def values(measured: SectionResult) -> dict[str, float]:
    return {metric.name: metric.value for metric in (*measured.metrics, *measured.baselines)}


def test_with_the_true_energy_all_come_near_the_best_there_is(measured: SectionResult) -> None:
    # E[x|y] = (½ + y)/2 has mean squared error 0.1²/2: 23.01 dB, of which noise at 20 dB is 3.01 short.
    found = values(measured)
    assert found["noisy, σ=0.1: PSNR"] == pytest.approx(20.0, abs=0.1)
    assert found["Tweedie, σ=0.1: PSNR"] == pytest.approx(23.01, abs=0.1)
    assert found["descent, σ=0.1: PSNR"] == pytest.approx(23.01, abs=0.1)
    assert 22 < found["Wiener, σ=0.1: PSNR"] < 23.11  # 784 variances and their covariances from 3000 images


def test_every_estimate_has_both_figures_with_errors_and_pictures(measured: SectionResult) -> None:
    names = ("Tweedie", "descent", "noisy", "Wiener", "autoencoder")
    metrics = (*measured.metrics, *measured.baselines)
    assert [f.name for f in metrics] == [f"{name}, σ=0.1: {q}" for name in names for q in ("PSNR", "SSIM")]
    assert all(f.error is not None and 0 < f.error < 0.2 for f in metrics)
    assert {f"{name}, σ=0.1" for name in names} | {"clean"} == set(measured.arrays)
    for array in measured.arrays.values():
        assert array.shape == (10, 1, 28, 28)
        assert 0 <= float(array.min()) <= float(array.max()) <= 1


def test_what_was_chosen_is_said(measured: SectionResult) -> None:
    notes = {f.name: f.note for f in measured.metrics}
    assert notes["descent, σ=0.1: PSNR"].endswith("ε")
    # Least squares: the step halves y − ½, so T·0.1² is the variance of noisy images, 0.1² + σ².
    assert notes["Tweedie, σ=0.1: PSNR"] == "T = 2"
    assert "20 validation images" in measured.method


def test_an_energy_of_all_noise_levels_is_applied_again_and_sampled() -> None:
    """Of images N(½, 0.1²), D at noise 0.1 halves y − ½: that is the posterior mean, and σ is told by it."""
    kernel = AnnealedLangevin(sigma_max=0.5)

    def energy(x: Tensor) -> Tensor:
        return kernel.curvature * 0.1**2 * Gaussian(0.5, 0.1)(x) / 2

    measured = SMALL.measure(context(energy, kernel), rng())
    found = values(measured)
    assert found["iterated, σ=0.1: PSNR"] == pytest.approx(23.01, abs=0.1)
    assert found["Tweedie, σ=0.1: PSNR"] == pytest.approx(23.01, abs=0.1)
    assert found["noise level estimated, σ=0.1"] == pytest.approx(0.1, rel=0.02)
    assert 20.5 < found["posterior mean, σ=0.1: PSNR"] < 23.11  # this energy is a denoiser at one level alone
    assert {"iterated, σ=0.1", "posterior mean, σ=0.1"} <= set(measured.arrays)


def test_same_rng_same_metrics(measured: SectionResult) -> None:
    again = SMALL.measure(context(), rng())
    assert again.metrics == measured.metrics
    assert again.baselines == measured.baselines


def test_an_energy_that_points_away_is_said_not_to_help() -> None:
    def uphill(x: Tensor) -> Tensor:
        return -Gaussian(0.5, 0.1)(x)

    found = SMALL.measure(context(uphill), rng())
    assert values(found)["Tweedie, σ=0.1: PSNR"] == pytest.approx(values(found)["noisy, σ=0.1: PSNR"])
    assert any("points away from the noise" in f.note for f in found.metrics)
    assert "does not reach the linear Wiener filter at σ = 0.1: E was not trained" in found.method


@pytest.mark.parametrize("factor", [torch.nan, 0.0])
def test_what_cannot_be_measured_is_said_in_one_line(factor: float) -> None:
    with pytest.raises(Unmeasurable, match="∇E at noisy images") as caught:
        SMALL.measure(context(lambda x: factor * Gaussian()(x)), rng())
    assert "\n" not in str(caught.value)


def test_too_few_test_images_are_unmeasurable() -> None:
    few = context()._replace(dataset=DATASET._replace(test=split(3, 4)))
    with pytest.raises(Unmeasurable, match="3 test images are too few"):
        SMALL.measure(few, rng())


@pytest.mark.parametrize("fields", [{"sigmas": ()}, {"sigmas": (0.1, 0.0)}, {"n": 1}, {"n_samples": 0}])
def test_sizes_out_of_range_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="denoising: "):
        Denoising(**fields)  # type: ignore[arg-type]
