"""Streams: their laws, gated by standard errors, and what a number is a function of."""

import itertools
import math

import pytest
import torch

from ebmnist.errors import BadInput
from ebmnist.native import library
from ebmnist.random import Purpose, Stream, check_seed, philox

STREAM = Stream(0, Purpose.SAMPLING)


def rows(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


def test_the_address_is_the_counter():
    """Value i of block b: word i of Philox at (b | draw << 28, step, row, purpose | call << 8), under the seed."""
    seed, draw, step, row, call = 2**62 + 12345, 3, 2**31 + 7, 2**32 - 1, 2**24 - 1
    stream = Stream(seed, Purpose.EVALUATION + 5, call)
    counter = (torch.tensor([1 | draw << 28]), *(torch.tensor([w]) for w in (step, row, 133 | call << 8)))
    words = [int(w) for w in philox(counter, seed)]
    uniform = stream.uniform(rows(row), step, (8,), draw=draw, dtype=torch.float64)[0, 4:]
    assert uniform.tolist() == [(w >> 8) / 2**24 for w in words]
    radius = [math.sqrt(-2 * math.log(((w >> 8) + 1) / 2**24)) for w in words[::2]]
    angle = [2 * math.pi * (w >> 8) / 2**24 for w in words[1::2]]
    expected = [r * f(phi) for r, phi in zip(radius, angle, strict=True) for f in (math.cos, math.sin)]
    normal = stream.normal(rows(row), step, (8,), draw=draw, dtype=torch.float64)[0, 4:]
    assert normal.tolist() == pytest.approx(expected, rel=1e-13)


@pytest.mark.skipif(library() is None, reason="nothing compiled runs here")
@pytest.mark.parametrize("n_values", [1, 4, 63, 64, 65, 785])
def test_the_words_of_the_engine_are_those_of_pytorch(n_values, monkeypatch):
    stream, steps = Stream(2**63 - 1, 255, 2**24 - 1), rows(0, 5, 2**32 - 1, 9)
    asked = {"draw": 15, "shape": (n_values,), "step": steps, "rows": rows(3, 2**32 - 1, 0, 77)}
    compiled = stream.integers(2**31, **asked), stream.normal(**asked)
    monkeypatch.setattr("ebmnist.random.streams.library", lambda: None)
    for found, expected in zip(compiled, (stream.integers(2**31, **asked), stream.normal(**asked)), strict=True):
        assert torch.equal(found, expected)


def test_normals_are_normal():
    x = STREAM.normal(torch.arange(2000), 0, (784,), dtype=torch.float64).flatten()
    n = len(x)
    # Moments 1 to 4 are 0, 1, 0, 3, with variances 1, 2, 15, 96.
    for power, (mean, variance) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96)], 1):
        assert abs(float(x.pow(power).mean()) - mean) < 4 * math.sqrt(variance / n)
    for lag in (1, 2, 3, 4, 784):
        assert abs(float((x[lag:] * x[:-lag]).mean())) < 4 / math.sqrt(n)
    beyond = float((x.abs() > 3).double().mean())
    share = math.erfc(3 / math.sqrt(2))
    assert abs(beyond - share) < 4 * math.sqrt(share / n)
    assert x.abs().max() < math.sqrt(48 * math.log(2)) + 1e-9


def test_uniforms_are_uniform():
    u = STREAM.uniform(torch.arange(1000), 0, (784,), dtype=torch.float64)
    assert u.min() >= 0
    assert u.max() < 1
    counts = torch.histc(u, 100, 0, 1)
    expected = u.numel() / 100
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi2 - 99) < 4 * math.sqrt(2 * 99)


def test_integers_and_permutations_are_even():
    dice = STREAM.integers(6, torch.arange(10_000), 0, (6,))
    shares = dice.flatten().bincount(minlength=6) / dice.numel()
    assert len(shares) == 6
    assert (shares - 1 / 6).abs().max() < 4 * math.sqrt(5 / 36 / dice.numel())
    orders = torch.stack([STREAM.permutation(5, step) for step in range(6000)])
    assert torch.equal(orders.sort(1).values, torch.arange(5).expand(6000, 5))
    places = torch.stack([orders[:, i].bincount(minlength=5) for i in range(5)]) / 6000
    assert (places - 0.2).abs().max() < 4 * math.sqrt(0.16 / 6000)


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_a_number_is_a_function_of_its_address_alone(law):
    """The same in any batch, in any order of rows, in any chunk, in any shape, cut anywhere, in either precision."""
    draw = getattr(STREAM, law)
    whole = draw(torch.arange(300), 5, (1, 28, 28))
    assert torch.equal(draw(torch.arange(8), 5, (1, 28, 28)), whole[:8])
    assert torch.equal(draw(rows(299, 3), 5, (784,)), whole[[299, 3]].flatten(1))
    assert torch.equal(draw(torch.arange(300), 5, (10,)), whole.flatten(1)[:, :10])
    steps = torch.tensor([4, 5, 6])
    assert torch.equal(draw(rows(2, 2, 2), steps, (1, 28, 28))[1], whole[2])
    double = draw(torch.arange(300), 5, (1, 28, 28), dtype=torch.float64)
    torch.testing.assert_close(whole.double(), double, rtol=0, atol=2e-6)
    half = draw(torch.arange(300), 5, (1, 28, 28), dtype=torch.bfloat16)
    assert torch.equal(half, whole.bfloat16())


def test_no_two_addresses_share_a_number():
    """Seeds, purposes, calls, rows, steps and draws, each beside its neighbour: none is another's, shifted or not."""
    seeds, purposes, calls = (0, 1, 2**32, 2**63 - 1), (*Purpose, Purpose.EVALUATION + 20), (0, 1, 2**24 - 1)
    blocks = [
        Stream(seed, purpose, call).normal(rows(0, 1), step, (16,), draw=draw, dtype=torch.float64)
        for seed, purpose, call in itertools.product(seeds, purposes, calls)
        for step in (0, 1)
        for draw in (0, 1)
    ]
    pairs = torch.cat(blocks).view(-1, 2)  # each from words of its own, 48 bits
    assert len(pairs.unique(dim=0)) == len(pairs) == 2 * 8 * 4 * len(seeds) * len(purposes) * len(calls)


def test_empty_shapes():
    assert STREAM.normal(torch.arange(0), 0, (3,)).shape == (0, 3)
    assert STREAM.normal(torch.arange(3), 0, (0,)).shape == (3, 0)
    assert STREAM.uniform(torch.arange(3), 0, ()).shape == (3,)
    assert STREAM.permutation(0).shape == (0,)


def test_defaults_of_torch_change_nothing():
    expected = STREAM.normal(torch.arange(3), 1, (5,))
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = STREAM.normal(torch.arange(3, device="cpu"), 1, (5,))
            order = STREAM.permutation(5)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, expected)
    assert torch.equal(order, STREAM.permutation(5))


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "abc", True, None, torch.tensor(3)])
def test_what_is_no_seed_is_refused_in_one_line(seed):
    with pytest.raises(BadInput, match="seed must be a whole number from 0 to 2⁶³ − 1") as refusal:
        Stream(seed, Purpose.SAMPLING)
    assert "\n" not in str(refusal.value)


def test_seeds_at_both_ends():
    assert check_seed(0) == 0
    assert check_seed(2**63 - 1) == 2**63 - 1
    assert Stream(2**63 - 1, Purpose.BUFFER).normal(rows(0), 0, (4,)).isfinite().all()


@pytest.mark.parametrize("bad", [{"purpose": 256}, {"purpose": -1}, {"call": 2**24}, {"call": -1}])
def test_addresses_outside_the_counter_are_refused(bad):
    with pytest.raises(ValueError, match="purpose must be below 256"):
        Stream(**{"seed": 0, "purpose": 0, **bad})


def test_steps_draws_and_rows_outside_the_counter_are_refused():
    with pytest.raises(ValueError, match="step must be below"):
        STREAM.normal(rows(0), 2**32, (4,))
    with pytest.raises(ValueError, match="at most 16 draws"):
        STREAM.normal(rows(0), 0, (4,), draw=16)
    with pytest.raises(ValueError, match="2³⁰ values"):
        STREAM.normal(rows(), 0, (2**30 + 1,))
