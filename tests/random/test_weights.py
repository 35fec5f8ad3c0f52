"""Initial weights from a stream: layers' own laws, the same for the same seed, and nothing global read."""

import math

import pytest
import torch
from torch import nn

from ebmnist.energies import REGISTRY
from ebmnist.random import Purpose, Stream, initialised_from


def made(make, seed: int = 0):
    with initialised_from(Stream(seed, Purpose.WEIGHTS)):
        return make()


@pytest.mark.parametrize("kind", REGISTRY)
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_weights_are_a_function_of_the_seed(kind, spectral_norm):
    before = torch.get_rng_state()
    one, two, other = (made(lambda: REGISTRY[kind](width=4, spectral_norm=spectral_norm), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in one.state_dict().items():
        assert torch.equal(two.state_dict()[name], value)
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_layers_have_torch_s_own_law():
    """Uniform on ±1/√fan_in, weight and bias (the default of nn.Linear and nn.Conv2d)."""
    for layer, fan_in in ((made(lambda: nn.Linear(100, 400)), 100), (made(lambda: nn.Conv2d(4, 300, 5)), 100)):
        bound = 1 / math.sqrt(fan_in)
        for values in (layer.weight.detach().flatten(), layer.bias.detach()):
            n = len(values)
            assert bound * (1 - 20 / n) < float(values.abs().max()) <= bound
            assert abs(float(values.mean())) < 4 * bound / math.sqrt(3 * n)
            # The square of a uniform number on ±b has mean b²/3 and variance 4b⁴/45.
            assert abs(float(values.square().mean()) - bound**2 / 3) < 4 * bound**2 * math.sqrt(4 / 45 / n)


def test_no_two_layers_share_their_numbers():
    a, b = made(lambda: (nn.Linear(10, 10), nn.Linear(10, 10)))
    assert not torch.equal(a.weight, b.weight)


@pytest.mark.parametrize(
    ("fill", "mean", "std"),
    [
        (lambda x: nn.init.normal_(x, 2.0, 3.0), 2.0, 3.0),
        (lambda x: nn.init.uniform_(x, 1.0, 3.0), 2.0, 2 / math.sqrt(12)),
        (lambda x: nn.init.kaiming_normal_(x), 0.0, math.sqrt(2 / 100)),
        (lambda x: nn.init.kaiming_uniform_(x, mode="fan_out", nonlinearity="relu"), 0.0, math.sqrt(2 / 400)),
        (lambda x: nn.init.xavier_uniform_(x), 0.0, math.sqrt(2 / 500)),
        (lambda x: x.copy_(torch.randn(400, 100)), 0.0, 1.0),
        (lambda x: x.copy_(torch.rand_like(x)), 0.5, 1 / math.sqrt(12)),
        (lambda x: x.normal_(std=2.0), 0.0, 2.0),
        (lambda x: x.uniform_(-1), 0.0, 2 / math.sqrt(12)),
    ],
)
def test_initialisers_have_their_law(fill, mean, std):
    before = torch.get_rng_state()
    x = made(lambda: fill(torch.empty(400, 100)))
    assert torch.equal(torch.get_rng_state(), before)
    n = x.numel()
    assert abs(float(x.mean()) - mean) < 4 * std / math.sqrt(n)
    assert float(x.std()) == pytest.approx(std, rel=4 / math.sqrt(n))


@pytest.mark.parametrize("draw", [lambda: torch.randperm(3), lambda: torch.empty(3).exponential_()])
def test_other_laws_are_refused_rather_than_read_from_a_global_generator(draw):
    before = torch.get_rng_state()
    with pytest.raises(NotImplementedError, match="cannot draw initial weights from a seed"):
        made(draw)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_that_is_given_is_used():
    given = [torch.Generator().manual_seed(1) for _ in range(2)]
    expected = torch.randn(3, generator=given[0])
    assert torch.equal(made(lambda: torch.randn(3, generator=given[1])), expected)
