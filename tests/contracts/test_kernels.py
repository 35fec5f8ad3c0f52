"""What every kernel must obey."""

import copy
import dataclasses

import pytest
import torch

from ebmnist.energies import MLP, ConvNet
from ebmnist.random import Purpose, StepRng, Stream
from ebmnist.sampling import REGISTRY, ChainState, StepInfo, cycle_of, run_chain, sample
from targets import Gaussian

KINDS = pytest.mark.parametrize("kind", REGISTRY)
SHAPES = pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 1, 28, 28), (1, 3), (0, 3)], ids=str)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def step(kind: str, x: torch.Tensor, energy=None, seed: int = 0) -> tuple[ChainState, StepInfo]:
    kernel, energy = REGISTRY[kind](), energy or Gaussian()
    return kernel.step(energy, kernel.init(energy, x), StepRng(Stream(seed, Purpose.SAMPLING), 0, x.device))


@KINDS
@SHAPES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_formats_are_kept(kind, shape, dtype):
    if len(shape) == 1:
        shape = (*shape, 1)
    x = torch.rand(shape, dtype=dtype)
    state, info = step(kind, x)
    for tensor in (state.x, info.grad, info.drift_grad, info.x_before, info.x_after):
        assert tensor.shape == x.shape
        assert tensor.dtype == dtype
        assert tensor.device == x.device
        assert not tensor.requires_grad
    for tensor in (info.energy, info.grad_norm, info.share_clipped, info.displacement):
        assert tensor.shape == (len(x),)
        assert not tensor.requires_grad
    if info.accepted is not None:
        assert info.accepted.shape == (len(x),)
        assert info.accepted.dtype == torch.bool
    for kept in (state.energy, state.grad):
        assert kept is None or not kept.requires_grad


@KINDS
def test_the_info_is_of_this_step(kind):
    x = torch.rand(20, 3)
    state, info = step(kind, x)
    assert torch.equal(info.x_before, x)
    assert torch.equal(info.x_after, state.x)
    torch.testing.assert_close(info.displacement, (state.x - x).norm(dim=1))
    torch.testing.assert_close(info.grad_norm, info.grad.norm(dim=1))
    assert ((info.share_clipped >= 0) & (info.share_clipped <= 1)).all()
    assert info.energy.isfinite().all()


@KINDS
def test_same_seed_same_bits_and_another_seed_others(kind):
    x = torch.rand(20, 3)
    first, again, other = (step(kind, x, seed=seed)[0].x for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@KINDS
def test_the_global_stream_is_not_touched(kind):
    before = torch.get_rng_state()
    step(kind, torch.zeros(20, 3))
    assert torch.equal(torch.get_rng_state(), before)


@KINDS
def test_the_start_is_left_alone(kind):
    x = torch.rand(20, 3)
    kept = x.clone()
    state, _ = step(kind, x)
    assert torch.equal(x, kept)
    assert state.x.data_ptr() != x.data_ptr()


@KINDS
def test_the_weights_are_left_alone(kind):
    energy = ConvNet(width=2, spectral_norm=True)
    before = copy.deepcopy(energy.state_dict())
    run_chain(energy, REGISTRY[kind](), torch.rand(3, 1, 28, 28), 3, rng=seeded(0))
    assert all(p.grad is None and p.requires_grad for p in energy.parameters())
    assert all(torch.equal(now, before[name]) for name, now in energy.state_dict().items())
    assert energy.training


@KINDS
def test_a_step_alone_leaves_no_weight_gradient(kind):
    energy = MLP(3, 8)  # not frozen by a chain
    step(kind, torch.rand(5, 3), energy)
    assert all(p.grad is None for p in energy.parameters())


@KINDS
def test_the_box_is_kept(kind):
    fields = {"step_size": 0.3, "temperature": 1e-4, "clamp": (0.25, 0.75)}
    kernel = REGISTRY[kind](**fields)
    x = sample(Gaussian(), 50, rng=seeded(0), kernel=kernel, n_steps=5 * cycle_of(kernel), shape=(2,))
    assert x.min() >= 0.25
    assert x.max() <= 0.75
    # Chains go on moving, where samples of a kernel with clamp_margin may all be brought back to one wall.
    assert len(run_chain(Gaussian(), kernel, x, cycle_of(kernel), rng=seeded(1)).x.unique()) > 1


@KINDS
def test_a_chain_goes_downhill(kind):
    """From far out, at a low temperature, the energy falls."""
    kernel = REGISTRY[kind](step_size=0.3, temperature=1e-4, clip=None, clamp=None)
    x = torch.full((50, 2), 3.0)
    ended = run_chain(Gaussian(), kernel, x, 256, rng=seeded(0)).x
    assert Gaussian()(ended).mean() < 0.05 * Gaussian()(x).mean()


@KINDS
def test_it_is_a_dataclass_with_the_fields_that_others_read_and_change(kind):
    kernel = REGISTRY[kind]()
    names = {field.name for field in dataclasses.fields(kernel)}
    assert {"step_size", "temperature", "clip", "clip_norm", "clamp"} <= names
    assert dataclasses.replace(kernel, temperature=1e-6).temperature == 1e-6  # annealing does this
    assert kernel == REGISTRY[kind]()
    assert hash(kernel) == hash(REGISTRY[kind]())
