import pytest
import torch

from ebmnist.inference.dequantisation import bits_per_dimension, dequantise


def test_every_byte_stays_in_its_own_bin_of_the_open_box(rng: torch.Generator) -> None:
    k = torch.arange(256.0).repeat(100, 1)
    x = dequantise((k / 255).view(100, 1, 16, 16), rng)
    assert x.shape == (100, 256)
    assert x.dtype == torch.float64
    assert torch.equal((256 * x).floor(), k.double())
    assert 0 < float(x.min()) < float(x.max()) < 1


def test_the_noise_is_uniform(rng: torch.Generator) -> None:
    u = 256 * dequantise(torch.zeros(1000, 1, 4, 4), rng)
    assert float(u.mean()) == pytest.approx(0.5, abs=4 * (1 / 12 / u.numel()) ** 0.5)
    assert float(u.var()) == pytest.approx(1 / 12, rel=0.03)


def test_a_uniform_law_on_one_bin_costs_no_bits() -> None:
    n_dims = 784
    assert bits_per_dimension(n_dims * float(torch.tensor(256.0).log()), n_dims) == pytest.approx(0, abs=1e-6)
