"""`run_chain` and `sample`: same seed same bits, the energy left as it was, and what is kept on the way."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm

from ebmnist.energy import MLP, ConvNet
from ebmnist.errors import BadInput
from ebmnist.sampling import MALA, Langevin, run_chain, sample
from targets import Gaussian

WIDE = Langevin(step_size=0.5, temperature=1.0, clip=None, clamp=None)
START = torch.linspace(-2, 2, 24).view(8, 3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_chain_is_its_steps_one_after_another():
    rng, state = seeded(1), WIDE.init(Gaussian(), START)
    for _ in range(5):
        state, info = WIDE.step(Gaussian(), state, rng)
    chain = run_chain(Gaussian(), WIDE, START, 5, rng=seeded(1))
    assert torch.equal(chain.x, state.x)
    assert torch.equal(chain.last.grad, info.grad)


def test_two_chains_in_a_row_are_one_long_one():
    rng = seeded(2)
    half = run_chain(Gaussian(), WIDE, START, 3, rng=rng).x
    whole = run_chain(Gaussian(), WIDE, START, 7, rng=seeded(2)).x
    assert torch.equal(run_chain(Gaussian(), WIDE, half, 4, rng=rng).x, whole)


def test_no_steps_is_the_start():
    for kernel in (WIDE, MALA()):
        chain = run_chain(Gaussian(), kernel, START, 0, rng=seeded(0), keep=[0], record=True)
        assert torch.equal(chain.x, START)
        assert torch.equal(chain.trajectory, START[None])
        assert chain.last is None
        assert chain.trace is None


def test_the_start_is_left_alone():
    x = START.clone()
    run_chain(Gaussian(), Langevin(), x, 5, rng=seeded(0))
    assert torch.equal(x, START)


def test_keep_takes_the_named_steps_in_rising_order():
    every = run_chain(Gaussian(), WIDE, START, 6, rng=seeded(3), keep=range(7)).trajectory
    chain = run_chain(Gaussian(), WIDE, START, 6, rng=seeded(3), keep=[6, 0, 2])
    assert torch.equal(chain.trajectory, every[[0, 2, 6]])
    assert torch.equal(every[-1], chain.x)
    assert chain.trace is None


@pytest.mark.parametrize("kernel", [WIDE, MALA(step_size=0.5)], ids=str)
def test_trace_has_a_row_for_every_step(kernel):
    chain = run_chain(Gaussian(), kernel, START, 6, rng=seeded(3), keep=range(7), record=True)
    assert all(rows.shape == (6, 8) for rows in chain.trace)
    torch.testing.assert_close(chain.trace.energy, torch.stack([Gaussian()(x) for x in chain.trajectory[:-1]]))
    torch.testing.assert_close(chain.trace.displacement, chain.trajectory.diff(dim=0).norm(dim=2))
    torch.testing.assert_close(chain.trace.grad_norm, chain.trajectory[:-1].norm(dim=2))
    assert torch.equal(chain.trace.share_clipped, torch.zeros(6, 8))
    assert torch.equal(chain.trace.accepted, (chain.trace.displacement > 0).float())


def test_temperatures_replace_the_kernels_own():
    constant = run_chain(Gaussian(), WIDE, START, 3, rng=seeded(4), temperatures=[1.0] * 3).x
    assert torch.equal(constant, run_chain(Gaussian(), WIDE, START, 3, rng=seeded(4)).x)

    annealed = run_chain(Gaussian(), WIDE, START, 3, rng=seeded(4), temperatures=[4.0, 1.0, 0.0]).x
    rng, x = seeded(4), START
    for sigma in (2.0, 1.0):
        x = x - 0.125 * x + 0.5 * sigma * torch.randn(x.shape, generator=rng)
    torch.testing.assert_close(annealed, x - 0.125 * x)
    assert WIDE.temperature == 1.0


def test_progress_counts_the_steps():
    seen = []
    run_chain(Gaussian(), WIDE, START, 3, rng=seeded(0), progress=seen.append)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"n_steps": -1}, "n_steps"),
        ({"n_steps": 3, "temperatures": [1.0]}, "temperatures"),
        ({"n_steps": 3, "keep": [0, 4]}, "keep"),
        ({"n_steps": 3, "keep": [-1]}, "keep"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(BadInput, match=named):
        run_chain(Gaussian(), WIDE, START, **arguments, rng=seeded(0))


# The energy is left as it was.


def mixed_modes() -> ConvNet:
    """Return a spectrally normalised network in training mode, with one frozen weight and one module in eval mode."""
    energy = ConvNet(width=4, spectral_norm=True)
    energy.head.bias.requires_grad_(False)
    energy.net[1].eval()
    return energy


@pytest.mark.parametrize("kernel", [Langevin(), MALA()], ids=["langevin", "mala"])
@pytest.mark.parametrize("breaks", [False, True])
def test_the_energy_is_left_as_it_was(kernel, breaks):
    energy = mixed_modes()
    tensors = copy.deepcopy(energy.state_dict())  # spectral norm's vectors among them
    modes = [module.training for module in energy.modules()]
    flags = [p.requires_grad for p in energy.parameters()]

    def stop(done: int) -> None:
        if breaks and done == 2:
            raise KeyboardInterrupt

    try:
        run_chain(energy, kernel, torch.rand(4, 1, 28, 28), 3, rng=seeded(0), progress=stop)
    except KeyboardInterrupt:
        assert breaks

    assert [module.training for module in energy.modules()] == modes
    assert [p.requires_grad for p in energy.parameters()] == flags
    assert all(p.grad is None for p in energy.parameters())
    assert all(torch.equal(now, tensors[name]) for name, now in energy.state_dict().items())
    assert any("._u" in name for name in tensors)


def count_calls(monkeypatch) -> list[nn.Module]:
    """Return a list that grows by one module each time a W/σ is computed."""
    calls = []
    compute = _SpectralNorm.forward
    monkeypatch.setattr(_SpectralNorm, "forward", lambda self, w: calls.append(self) or compute(self, w))
    return calls


def test_spectral_norm_is_computed_once_per_chain(monkeypatch):
    energy = ConvNet(width=4, spectral_norm=True)
    calls, x = count_calls(monkeypatch), torch.rand(2, 1, 28, 28)
    for kernel in (Langevin(), MALA()):
        calls.clear()
        run_chain(energy, kernel, x, 7, rng=seeded(0))
        assert len(calls) == len(set(calls)) == 6  # four convolutions and two linear layers


def test_spectral_norm_is_not_remembered_after_a_chain_that_broke(monkeypatch):
    energy = ConvNet(width=4, spectral_norm=True)
    calls, x = count_calls(monkeypatch), torch.rand(2, 1, 28, 28)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_chain(energy, Langevin(), x, 7, rng=seeded(0), progress=stop)
    with torch.no_grad():
        energy.head.parametrizations.weight.original.mul_(2)
        energy.head.bias.add_(1)
    calls.clear()
    energy.eval()
    energy(x), energy(x)
    assert len(calls) == 12  # outside a chain, at every call: no stale weight
    calls.clear()
    run_chain(energy, Langevin(), x, 7, rng=seeded(0))
    assert len(calls) == 6


def test_freezing_changes_no_sample():
    """A chain on a module is the chain on the bare function, to the bit: caching W/σ is only a saving."""
    energy, x = MLP(3, 16, spectral_norm=True).eval(), START
    chain = run_chain(energy, WIDE, x, 5, rng=seeded(0)).x
    assert torch.equal(chain, run_chain(lambda x: energy(x), WIDE, x, 5, rng=seeded(0)).x)


def test_sampling_works_where_gradients_are_off():
    energy = MLP(3, 16)
    expected = run_chain(energy, WIDE, START, 5, rng=seeded(0)).x
    with torch.no_grad():
        assert torch.equal(run_chain(energy, WIDE, START, 5, rng=seeded(0)).x, expected)


# sample


def test_sample_depends_on_its_rng_and_batch_size_alone():
    """Same seed, same bits, whatever the global stream holds; another seed or batch size, other samples."""
    energy = MLP(4, 16)

    def samples(seed: int = 0, batch_size: int = 3):
        torch.rand(seed + 7)  # the global stream moves
        return sample(energy, 8, rng=seeded(seed), kernel=WIDE, n_steps=4, shape=(2, 2), batch_size=batch_size)

    assert samples().shape == (8, 2, 2)
    assert torch.equal(samples(), samples())
    assert not torch.equal(samples(), samples(seed=1))
    assert not torch.equal(samples(), samples(batch_size=4))


def test_sample_is_chains_from_uniform_noise():
    rng = seeded(0)
    noise = torch.rand(5, 1, 28, 28, generator=rng)
    energy = ConvNet(width=4)
    expected = run_chain(energy, Langevin(), noise, 3, rng=rng).x
    assert torch.equal(sample(energy, 5, rng=seeded(0), n_steps=3), expected)


def test_an_energy_that_knows_how_it_is_sampled_is_sampled_so():
    class Own(Gaussian):
        kernel, n_steps = WIDE, 7

    energy, own = Gaussian(), Own()

    def samples(e, **given):
        return sample(e, 8, rng=seeded(0), shape=(2,), **given)

    assert torch.equal(samples(own), samples(energy, kernel=WIDE, n_steps=7))
    assert torch.equal(samples(own, kernel=Langevin(), n_steps=3), samples(energy, n_steps=3))


def test_sample_reports_progress_over_all_batches():
    seen = []
    sample(
        Gaussian(),
        5,
        rng=seeded(0),
        kernel=WIDE,
        n_steps=3,
        shape=(2,),
        batch_size=2,
        progress=seen.append,
    )
    assert seen == list(range(1, 10))


@pytest.mark.parametrize("arguments", [{"n": 0}, {"n": 2, "batch_size": 0}, {"n": 2, "n_steps": -1}])
def test_sample_of_nothing_is_refused(arguments):
    with pytest.raises(BadInput, match="must be ≥"):
        sample(Gaussian(), **arguments, rng=seeded(0), shape=(2,))
