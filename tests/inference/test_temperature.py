import pytest
import torch
from torch import Tensor

from ebmnist.errors import Unmeasurable
from ebmnist.inference.probit import images_to_y
from ebmnist.inference.temperature import fit_temperature

SHAPE = (1, 4, 4)


def reference_precision(x: Tensor) -> Tensor:
    """E = ½ Σ ((x − ½)/0.1)²: at temperature T the pixels are N(½, 0.01 T)."""
    return 0.5 * ((x - 0.5) / 0.1).square().flatten(1).sum(1)


def images(scale: float, rng: torch.Generator, n: int = 64) -> Tensor:
    return images_to_y(0.5 + scale * torch.randn(n, 16, generator=rng, dtype=torch.float64)).float()


@pytest.mark.parametrize("temperature", [0.04, 1.0])
@pytest.mark.parametrize("unit", [1.0, 1e-4])
def test_the_temperature_that_made_the_data_is_found(temperature: float, unit: float, rng: torch.Generator) -> None:
    y = images(0.1 * temperature**0.5, rng)
    fit = fit_temperature(lambda x: unit * reference_precision(x) - 3, y, SHAPE, n_steps=10, rng=rng)
    assert fit.error < 0.15 * fit.value
    assert fit.value == pytest.approx(unit * temperature, abs=4 * fit.error)


def test_the_energy_rises_as_chains_are_heated(rng: torch.Generator) -> None:
    fit = fit_temperature(reference_precision, images(0.1, rng), SHAPE, n_steps=10, rng=rng)
    assert float(fit.gaps.min()) < 0 < float(fit.gaps[-1])
    assert (fit.betas.diff() < 0).all()


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (lambda x: -reference_precision(x), "no lower energy than uniform noise"),
        (lambda x: reference_precision(x) * torch.nan, "not finite"),
        (lambda x: 1e4 * (reference_precision(x) > 20) + 0 * reference_precision(x), "no temperature is best"),
    ],
)
def test_an_energy_without_a_temperature_is_unmeasurable(energy: object, words: str, rng: torch.Generator) -> None:
    with pytest.raises(Unmeasurable, match=words):
        fit_temperature(energy, images(0.1, rng), SHAPE, n_steps=2, rng=rng)  # type: ignore[arg-type]
