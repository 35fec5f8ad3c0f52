import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, SectionResult
from ebmnist.evaluation.restoration import TASKS, Restoration
from ebmnist.evaluation.wiener import fit_wiener
from ebmnist.inference.operators import AveragePool, Identity, Mask
from ebmnist.random import Rng
from ebmnist.sampling import AnnealedLangevin, Langevin

KERNEL = AnnealedLangevin(sigma_max=1.0)


def split(n: int, seed: int) -> Split:
    """Images of one grey level each, 0.2 to 0.8."""
    level = 0.2 + 0.6 * torch.rand(n, 1, 1, 1, generator=torch.Generator().manual_seed(seed))
    return Split(level.expand(n, 1, 28, 28).contiguous(), torch.arange(n) % 10)


def grey_levels(x: Tensor) -> Tensor:
    """D(x) is the mean pixel, at every noise level."""
    return 0.5 * KERNEL.curvature * (x - x.mean((1, 2, 3), keepdim=True)).square().flatten(1).sum(1)


DATASET = Dataset("grey", split(50, 1), split(10, 2), split(20, 3))
SMALL = Restoration(n=20, n_samples=2)


def context(kernel: object = KERNEL, energy: object = grey_levels) -> EvaluationContext:
    return EvaluationContext(energy, kernel, 1, DATASET, torch.device("cpu"))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured() -> SectionResult:
    return SMALL.measure(context(), Rng(0))


def test_what_can_be_known_exactly_is_found(measured: SectionResult) -> None:
    found = {metric.name: metric.value for metric in (*measured.metrics, *measured.baselines)}
    assert len(found) == 4 * len(TASKS)
    for task in TASKS:
        assert found[f"samples averaged, {task}: PSNR"] > 38
        assert measured.arrays[f"spread, {task}"].shape == (10, 1, 28, 28)
    assert found["linear regression, super-resolution ×4: PSNR"] > 60


def test_one_temperature_has_the_baselines_alone() -> None:
    measured = SMALL.measure(context(Langevin()), Rng(0))
    assert not measured.metrics
    assert len(measured.baselines) == 2 * len(TASKS)
    assert "trained at one temperature" in measured.method


def test_what_cannot_be_measured_is_said_in_one_line() -> None:
    with pytest.raises(Unmeasurable, match="NaN or infinite"):
        SMALL.measure(context(energy=lambda x: torch.nan * grey_levels(x)), Rng(0))
    with pytest.raises(Unmeasurable, match="3 test images are too few"):
        SMALL.measure(context()._replace(dataset=DATASET._replace(test=split(3, 4))), Rng(0))
    with pytest.raises(BadInput, match="n and n_samples"):
        Restoration(n_samples=1)


def test_linear_regression_is_the_same_by_every_door() -> None:
    """`restore` of the identity is the Wiener filter, and of a mask the fill."""
    clean = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wiener, observed = fit_wiener(clean), torch.arange(16).view(1, 4, 4) < 9
    torch.testing.assert_close(wiener.restore(clean, Identity(), 0.5), wiener.denoise(clean, 0.5), atol=1e-4, rtol=0)
    filled = wiener.restore(Mask(observed).forward(clean), Mask(observed), 0.0)
    torch.testing.assert_close(filled[:, ~observed], wiener.fill(clean, observed)[:, ~observed])
    assert wiener.restore(AveragePool(2).forward(clean), AveragePool(2), 0.1).shape == clean.shape
