import pytest
import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.inference.descent import Stop, at_zero_temperature, choose_stop, denoise, within
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
from ebmnist.sampling.langevin import Langevin
from ebmnist.sampling.mala import MALA

SHAPE = (1, 4, 4)


def grey_energy(x: Tensor) -> Tensor:
    """E(x) = ‖x − ½‖²/2: one step of descent scales x − ½ by 1 − ε²/2."""
    return 0.5 * (x - 0.5).square().flatten(1).sum(1)


def kernel(h: float) -> Langevin:
    return Langevin(step_size=(2 * h) ** 0.5, temperature=0.3, clip=None)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images_about_grey(n: int, deviation: float) -> Tensor:
    return 0.5 + deviation * torch.randn(n, *SHAPE, generator=rng(5))


def test_denoise_is_gradient_descent_at_temperature_zero_from_the_clamped_image() -> None:
    y = torch.linspace(-0.5, 1.5, 32).view(2, *SHAPE)
    x = denoise(grey_energy, kernel(0.2), y, 3, rng=rng())
    torch.testing.assert_close(x, 0.5 + 0.8**3 * (y.clamp(0, 1) - 0.5))


def test_denoise_scales_the_step_size() -> None:
    y = torch.rand(2, *SHAPE, generator=rng())
    x = denoise(grey_energy, kernel(0.2), y, 3, rng=rng(), step_scale=0.5)
    torch.testing.assert_close(x, 0.5 + (1 - 0.2 / 4) ** 3 * (y - 0.5))


def test_choose_stop_finds_the_posterior_mean() -> None:
    # Images N(½, σ²) under noise of the same σ: the best linear estimate halves y − ½, and (1 − h)⁴ = ½.
    clean = images_about_grey(500, 0.1)
    stop = choose_stop(grey_energy, kernel(1 - 0.5**0.25), clean, 0.1, rng=rng(), stops=range(1, 9))
    assert stop == Stop(4, 1.0)


def test_choose_stop_finds_the_step_scale() -> None:
    clean = images_about_grey(500, 0.1)
    scales = (1.0, (0.5 / 0.9) ** 0.5, 0.1)
    stop = choose_stop(grey_energy, kernel(0.9), clean, 0.1, rng=rng(), stops=(1, 2), step_scales=scales)
    assert stop == Stop(1, scales[1])


def test_choose_stop_runs_one_chain_a_scale() -> None:
    calls = []

    def counting(x: Tensor) -> Tensor:
        calls.append(len(x))
        return grey_energy(x)

    choose_stop(counting, kernel(0.1), images_about_grey(3, 0.1), 0.1, rng=rng(), stops=(7, 2), step_scales=(1, 2))
    assert len(calls) == 2 * 7


def test_choose_stop_looks_at_the_descent_that_denoise_makes() -> None:
    # Without a clamp images leave [0, 1] on the way; clamping them at each look would be another descent.
    clean = images_about_grey(3, 0.1)
    seen = []

    def watched(x: Tensor) -> Tensor:
        seen.append(x.detach().clone())
        return -grey_energy(x)

    unclamped = Langevin(step_size=0.8, temperature=0.3, clip=None, clamp=None)
    choose_stop(watched, unclamped, clean, 0.1, rng=rng(), stops=(2, 5, 9))
    assert float(seen[-1].max()) > 1
    torch.testing.assert_close(seen[-1], denoise(watched, unclamped, seen[0], 8, rng=rng()))


def test_choose_stop_never_chooses_nan() -> None:
    def rots_away_from_grey(x: Tensor) -> Tensor:
        """Uphill, until an image is all but black and white; then NaN."""
        value = grey_energy(x)
        return 0 * (1.9 - value).sqrt() - value

    clean = images_about_grey(4, 0.1)
    stop = choose_stop(rots_away_from_grey, kernel(0.5), clean, 0.1, rng=rng(), stops=(1, 50))
    assert stop == Stop(1, 1.0)


def test_choose_stop_refuses_an_energy_of_nan() -> None:
    with pytest.raises(BadInput, match="NaN images at every stop"):
        choose_stop(lambda x: grey_energy(x) * torch.nan, kernel(0.1), images_about_grey(3, 0.1), 0.1, rng=rng())


def test_every_kernel_descends_in_its_own_box() -> None:
    kernel = MALA(step_size=0.1, clip=0.5, clip_norm=3.0, clamp=(0.0, 0.4))
    assert at_zero_temperature(kernel, 2.0) == Langevin(0.2, 0.0, 0.5, 3.0, (0.0, 0.4))
    assert float(
        denoise(grey_energy, kernel, torch.rand(3, 1, 4, 4, generator=rng()), 5, rng=rng()).max()
    ) == pytest.approx(0.4)


def test_a_descent_begins_where_the_kernels_chains_may_stand_and_ends_in_the_box():
    """No slope: what comes back is where it began. Chains of `annealed_langevin` reach four σ beyond it."""
    y, flat = torch.tensor([[[[-3.0, -1.0, 0.5, 2.0]]]]), lambda x: 0 * x.flatten(1).sum(1)
    far = float(AnnealedLangevin(sigma_max=0.5).margin(torch.arange(128)).max())
    assert 2 <= far < 2.1
    assert torch.equal(within(AnnealedLangevin(sigma_max=0.5), y), y.clamp(-far, 1 + far))
    assert torch.equal(within(Langevin(clamp_margin=0.25), y), y.clamp(-0.25, 1.25))
    assert torch.equal(within(Langevin(clamp=None), y), y)
    for kernel in (AnnealedLangevin(sigma_max=0.5), Langevin(clamp_margin=0.25), Langevin()):
        assert torch.equal(denoise(flat, kernel, y, 3, rng=torch.Generator()), y.clamp(0, 1))
        assert at_zero_temperature(kernel).temperature == 0
