"""`run_chain` and `sample`: same seed same bits, the energy left as it was, and what is kept on the way."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm

from ebmnist.energies import MLP, ConvNet, energy_and_grad
from ebmnist.errors import BadInput
from ebmnist.random import ChainRng, Purpose, Rng, Stream
from ebmnist.sampling import MALA, AnnealedLangevin, Langevin, Sampler, run_chain, sample, uniform_noise
from targets import Gaussian

WIDE = Langevin(step_size=0.5, temperature=1.0, clip=None, clamp=None)
START = torch.linspace(-2, 2, 24).view(8, 3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_chain_is_its_steps_one_after_another():
    state = WIDE.init(Gaussian(), START)
    for rng in ChainRng.of(seeded(1), START, 5):
        state, info = WIDE.step(Gaussian(), state, rng)
    chain = run_chain(Gaussian(), WIDE, START, 5, rng=seeded(1))
    assert torch.equal(chain.x, state.x)
    assert torch.equal(chain.last.grad, info.grad)


STREAM = Stream(2, Purpose.SAMPLING)
KERNELS = pytest.mark.parametrize(
    "kernel", [WIDE, MALA(step_size=0.5), AnnealedLangevin(n_hold=2, n_anneal=3)], ids=str
)


@KERNELS
@pytest.mark.parametrize("cut", [1, 3, 6])
def test_a_chain_cut_anywhere_is_the_same_chain(kernel, cut):
    half = run_chain(Gaussian(), kernel, START, cut, rng=STREAM)
    step_index = torch.full((8,), cut)
    rest = run_chain(Gaussian(), kernel, half.x, 7 - cut, rng=STREAM, first_step=cut, step_index=step_index)
    assert torch.equal(rest.x, run_chain(Gaussian(), kernel, START, 7, rng=STREAM).x)


@KERNELS
def test_a_chain_is_the_same_in_any_batch_and_watched_or_not(kernel):
    whole = run_chain(Gaussian(), kernel, START, 7, rng=STREAM, keep=range(8), record=True)
    assert torch.equal(run_chain(Gaussian(), kernel, START, 7, rng=STREAM).x, whole.x)
    some = torch.tensor([6, 1, 3])
    alone = run_chain(Gaussian(), kernel, START[some], 7, rng=STREAM, chains=some, keep=[4])
    assert torch.equal(alone.x, whole.x[some])
    assert torch.equal(alone.trajectory[0], whole.trajectory[4, some])
    assert not torch.equal(run_chain(Gaussian(), kernel, START[some], 7, rng=STREAM).x, alone.x)


def test_samples_are_the_same_on_any_number_of_threads():
    threads, ends = torch.get_num_threads(), []
    for n in (1, 2, 3):
        torch.set_num_threads(n)
        ends.append(sample(Gaussian(), 128, rng=Rng(0), kernel=WIDE, n_steps=3))
    torch.set_num_threads(threads)
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


@KERNELS
def test_chains_numbers_do_not_depend_on_precision(kernel):
    single = run_chain(Gaussian(), kernel, START, 5, rng=STREAM).x
    double = run_chain(Gaussian(), kernel, START.double(), 5, rng=STREAM).x
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-5)


def test_two_calls_with_one_generator_differ_and_the_same_seed_is_the_same_chain():
    for make in (seeded, Rng):
        rng = make(3)
        first, second = (run_chain(Gaussian(), WIDE, START, 4, rng=rng).x for _ in range(2))
        assert not torch.equal(first, second)
        assert torch.equal(run_chain(Gaussian(), WIDE, START, 4, rng=make(3)).x, first)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"chains": torch.arange(7)}, "chains: give 8 numbers"),
        ({"chains": torch.arange(8.0)}, "chains: give 8 numbers"),
        ({"chains": torch.arange(8) - 1}, "chains: give numbers from 0"),
        ({"chains": torch.arange(8) + 2**32 - 7}, "chains: give numbers from 0"),
        ({"first_step": -1}, "first_step: steps are numbered from 0"),
        ({"first_step": 2**32 - 3}, "first_step: steps are numbered from 0"),
    ],
)
def test_chains_and_steps_that_cannot_be_numbered_are_refused(given, named):
    with pytest.raises(BadInput, match=named):
        run_chain(Gaussian(), WIDE, START, 4, rng=STREAM, **given)


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
    x = START
    for sigma, rng in zip((2.0, 1.0), ChainRng.of(seeded(4), START, 2), strict=True):
        x = x - 0.125 * x + 0.5 * sigma * rng.normal_like(x)
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
        ({"n_steps": 3, "keep": [0.5]}, "keep"),
        ({"n_steps": 1.0}, "n_steps"),
        ({"n_steps": 1, "temperatures": [-1.0]}, "temperatures"),
        ({"n_steps": 1, "temperatures": [float("nan")]}, "temperatures"),
        ({"n_steps": 1, "step_index": torch.zeros(8)}, "step_index: give 8 whole numbers"),
        ({"n_steps": 1, "step_index": torch.zeros(1, dtype=torch.int64)}, "step_index: give 8 whole numbers"),
        ({"n_steps": 1, "rng": 0}, "manual_seed"),
        ({"n_steps": 1, "x": START.long()}, "floating-point"),
        ({"n_steps": 1, "x": START.tolist()}, "floating-point"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(BadInput, match=named):
        run_chain(Gaussian(), WIDE, **{"x": START, "rng": seeded(0), **arguments})


@pytest.mark.parametrize("energy", [lambda x: x.sum(1, keepdim=True), torch.sum, lambda x: x.detach().sum(1)])
@pytest.mark.parametrize("kernel", [WIDE, MALA()], ids=["langevin", "mala"])
def test_what_is_no_energy_of_each_sample_is_refused(energy, kernel):
    with pytest.raises(BadInput, match=r"E\(x\)"):
        run_chain(energy, kernel, START, 1, rng=seeded(0))


class Halved(ConvNet):
    """Somebody's own function of the network's output."""

    def forward(self, x):
        return super().forward(x) / 2


def hooked(energy: ConvNet) -> ConvNet:
    energy.register_forward_hook(lambda _module, _args, value: value / 2)
    return energy


def replaced(energy: ConvNet) -> ConvNet:
    energy.forward = lambda x: ConvNet.forward(energy, x) / 2
    return energy


@pytest.mark.parametrize("change", [lambda energy: energy, hooked, replaced], ids=["subclass", "hook", "forward"])
def test_a_chain_follows_what_a_call_of_the_energy_gives(change):
    energy = change(Halved(width=4) if change not in (hooked, replaced) else ConvNet(width=4))
    x, steps = torch.rand(4, 1, 28, 28, generator=seeded(0)), Langevin(temperature=0.0, clip=None, step_size=10.0)
    chain = run_chain(energy, steps, x, 1, rng=seeded(0))
    torch.testing.assert_close(chain.x, (x - 50 * energy_and_grad(energy, x)[1]).clamp(0, 1))


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


@pytest.mark.parametrize("make", [seeded, Rng])
def test_samples_are_a_function_of_the_seed(make):
    """Whatever the global stream holds, in batches of any size, and as many as are wanted."""
    energy = MLP(4, 16)

    def samples(seed: int = 0, n: int = 8, batch_size: int = 3):
        torch.rand(seed + 7)  # the global stream moves
        return sample(energy, n, rng=make(seed), kernel=WIDE, n_steps=4, shape=(2, 2), batch_size=batch_size)

    assert samples().shape == (8, 2, 2)
    assert torch.equal(samples(), samples())
    assert not torch.equal(samples(), samples(seed=1))
    for n, batch_size in ((8, 1), (8, 4), (8, 100), (5, 2), (64, 64)):
        # A matrix product may sum in another order for another number of rows.
        torch.testing.assert_close(samples(n=n, batch_size=batch_size)[:8], samples()[:n], rtol=0, atol=1e-5)


def test_two_calls_with_one_generator_draw_other_samples():
    for rng in (seeded(0), Rng(0)):
        first, second = (sample(Gaussian(), 8, rng=rng, kernel=WIDE, n_steps=3, shape=(2,)) for _ in range(2))
        assert not torch.equal(first, second)


def test_sample_is_chains_from_uniform_noise():
    rng = Rng(0)
    noise = uniform_noise(5, (1, 28, 28), rng)
    energy = ConvNet(width=4)
    expected = run_chain(energy, Langevin(), noise, 3, rng=rng).x
    assert torch.equal(sample(energy, 5, rng=Rng(0), n_steps=3), expected)


def test_an_energy_that_knows_how_it_is_sampled_is_sampled_so():
    class Own(Gaussian):
        def sampler(self, name=None, n_steps=None):  # noqa: ARG002
            return Sampler(WIDE, n_steps or 7)

    energy, own = Gaussian(), Own()

    def samples(e, **given):
        return sample(e, 8, rng=seeded(0), shape=(2,), **given)

    assert torch.equal(samples(own), samples(energy, kernel=WIDE, n_steps=7))
    assert torch.equal(samples(own, n_steps=3), samples(energy, kernel=WIDE, n_steps=3))
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
