"""The C++ against PyTorch: the same energy, the same gradients, the same chain."""

import copy

import pytest
import torch
from torch import Tensor, nn

from ebmnist.energies import ConvNet, energy_and_grad, frozen
from ebmnist.energies.fast import native_net_of
from ebmnist.errors import BadInput
from ebmnist.native import NativeNet, StepNumbers, library
from ebmnist.random import StepRng
from ebmnist.sampling import Langevin, run_chain

pytestmark = pytest.mark.skipif(library() is None, reason="nothing here compiles C++")
FREE = {"clip": None, "clip_norm": None, "clamp": None, "noise_first": False}
bf16_only = pytest.mark.skipif(library() is None or not library().has_bf16(), reason="no bfloat16 dot products here")


def in_torch(energy: ConvNet, monkeypatch: pytest.MonkeyPatch) -> ConvNet:
    """The same weights, computed by PyTorch."""
    twin = copy.deepcopy(energy)
    monkeypatch.setattr(twin, "native_net", lambda **_: None)
    return twin


def alike(drift: float, sigma: float, n_steps: int) -> StepNumbers:
    """The same numbers in all steps, for all chains."""
    return StepNumbers(*(torch.full((n_steps, 1), number) for number in (drift, sigma, 0.0)))


def native_net(energy: ConvNet, *, low_precision: bool = False) -> NativeNet:
    found = native_net_of(energy, low_precision=low_precision)
    assert found is not None
    return found


def close(a: Tensor, b: Tensor, tolerance: float) -> None:
    assert float((a - b).norm() / b.norm()) < tolerance


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize(("width", "depth"), [(1, 4), (3, 2), (4, 5), (8, 3), (16, 4)])
@pytest.mark.parametrize("batch", [1, 33])
@pytest.mark.parametrize("reference_precision", [0.0, 0.05])
def test_energy_and_gradient_are_torchs(width, depth, batch, reference_precision, spectral_norm, rng, monkeypatch):
    energy = ConvNet(
        width, depth, spectral_norm=spectral_norm, reference_precision=reference_precision, precision="fp32"
    ).eval()
    x = 2 * torch.rand(batch, 1, 28, 28, generator=rng)
    twin = in_torch(energy, monkeypatch)
    for ours, theirs in zip(energy_and_grad(frozen(energy), x), energy_and_grad(frozen(twin), x), strict=True):
        close(ours, theirs, 1e-5)


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize(("width", "depth"), [(1, 4), (3, 2), (16, 4)])
def test_weight_gradients_are_torchs(width, depth, spectral_norm, rng, monkeypatch):
    energy = ConvNet(width, depth, spectral_norm=spectral_norm, reference_precision=0.05, precision="fp32").eval()
    twin, x = in_torch(energy, monkeypatch), torch.rand(70, 1, 28, 28, generator=rng)
    for net in (energy, twin):
        (net(x) * torch.linspace(-1, 2, 70)).sum().backward()
    for ours, theirs in zip(energy.parameters(), twin.parameters(), strict=True):
        assert ours.grad is not None
        close(ours.grad, theirs.grad, 1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_weight_gradients_of_more_images_than_records_are_held_of(training, rng, monkeypatch):
    x, grads = torch.rand(50, 1, 28, 28, generator=rng), []
    for held in (20, 512):
        monkeypatch.setattr("ebmnist.energies.fast.RECORDED", held)
        torch.manual_seed(0)
        energy = ConvNet(4, precision="fp32").train(training)
        (energy(x) * torch.linspace(-1, 2, 50)).sum().backward()
        grads.append([p.grad for p in energy.parameters()])
    for parts, whole in zip(*grads, strict=True):
        close(parts, whole, 1e-5)


def test_a_record_serves_any_coefficients_and_only_as_many_images(rng):
    packs, x = native_net(ConvNet(4, precision="fp32")), torch.rand(20, 1, 28, 28, generator=rng)
    value, record = packs.record(x)
    close(value, packs.energy(x), 3e-6)
    once, twice = packs.weight_grad(record, torch.ones(20)), packs.weight_grad(record, torch.full((20,), 2.0))
    assert all(torch.equal(2 * a, b) for a, b in zip(once, twice, strict=True))
    with pytest.raises(BadInput, match="record"):
        packs.weight_grad(record, torch.ones(40))


@bf16_only
def test_bfloat16_is_as_close_as_its_eight_bits(rng, monkeypatch):
    energy, x = ConvNet(16, reference_precision=0.05, precision="bf16"), torch.rand(64, 1, 28, 28, generator=rng)
    exact = in_torch(ConvNet(16, reference_precision=0.05, precision="fp32"), monkeypatch)
    exact.load_state_dict(energy.state_dict())
    for net in (energy, exact):
        (net(x) * torch.linspace(-1, 2, 64)).sum().backward()
    for ours, theirs in zip(energy.parameters(), exact.parameters(), strict=True):
        close(ours.grad, theirs.grad, 0.03)
    close(energy_and_grad(energy, x)[1], energy_and_grad(exact, x)[1], 0.03)


def test_energies_read_as_numbers_are_not_rough():
    assert not native_net(ConvNet(4)).bf16
    assert not native_net(ConvNet(4, precision="fp32"), low_precision=True).bf16


@pytest.mark.parametrize(
    "kernel",
    [
        Langevin(),
        Langevin(noise_first=True),
        Langevin(clip=None, clip_norm=1e-3, clamp=None),
        Langevin(clip=2e-5, clip_norm=4e-4, temperature=1e-4),
    ],
    ids=["default", "noise_first", "clip_norm", "both"],
)
def test_given_the_same_noise_it_is_the_same_chain(kernel, rng, monkeypatch):
    """Step by step in PyTorch, with the noise that the C++ is given."""
    energy, n_steps = ConvNet(8, reference_precision=0.05, precision="fp32"), 7
    x, noise = torch.rand(5, 1, 28, 28, generator=rng), torch.randn(n_steps, 5, 1, 28, 28, generator=rng)
    segment = native_net(energy).langevin(
        x,
        alike(0.5 * kernel.step_size**2, kernel.step_size * kernel.temperature**0.5, n_steps),
        seed=0, stream=0, chains=torch.arange(5), first_step=0,
        clip=kernel.clip, clip_norm=kernel.clip_norm, clamp=kernel.clamp,
        noise_first=kernel.noise_first, noise=noise,
    )  # fmt: skip
    twin, given = in_torch(energy, monkeypatch), iter(noise)
    monkeypatch.setattr(StepRng, "normal_like", lambda *_: next(given))
    chain = run_chain(twin, kernel, x, n_steps, rng=rng, record=True)
    assert chain.trace is not None
    assert chain.last is not None
    torch.testing.assert_close(segment.x, chain.x, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(segment.before, chain.last.x_before, atol=1e-6, rtol=1e-5)
    close(segment.grad, chain.last.grad, 1e-4)
    torch.testing.assert_close(segment.energy, chain.trace.energy)
    torch.testing.assert_close(segment.grad_norm, chain.trace.grad_norm, rtol=1e-4, atol=0)
    torch.testing.assert_close(segment.displacement, chain.trace.displacement, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(segment.share_clipped, chain.trace.share_clipped, atol=3 / 784, rtol=0)


def flat() -> ConvNet:
    """E(x) = 0 for every x."""
    energy = ConvNet(1, reference_precision=0.0, precision="fp32")
    nn.init.zeros_(energy.head.weight)
    nn.init.zeros_(energy.head.bias)
    return energy


def test_its_noise_is_standard_normal_and_independent():
    kernel = Langevin(step_size=1.0, temperature=1.0, clamp=None)
    x, rng = torch.zeros(300, 1, 28, 28), torch.Generator().manual_seed(5)
    chain = run_chain(flat(), kernel, x, 4, rng=rng, keep=range(5))
    assert chain.trajectory is not None
    noise = chain.trajectory.diff(dim=0).flatten(2).double()  # (4 steps, 300 chains, 784 pixels)
    n = noise.numel()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float((noise**power).mean()) - moment) < 4 * (variance / n) ** 0.5
    quantiles = torch.tensor([0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999], dtype=torch.float64)
    at = torch.distributions.Normal(0.0, 1.0).icdf(quantiles)
    shares = torch.stack([(noise < a).double().mean() for a in at])
    assert ((shares - quantiles).abs() < 4 * (quantiles * (1 - quantiles) / n).sqrt()).all()
    # Between chains, between steps, between neighbouring pixels, squares too.
    for values in (noise, noise**2 - 1):
        scale = float(values.square().mean())
        pairs = (values[:, 1:] * values[:, :-1], values[1:] * values[:-1], values[..., 1:] * values[..., :-1])
        for product in pairs:
            assert abs(float(product.mean())) < 4.5 * scale / product.numel() ** 0.5


def test_same_seed_same_bits_on_any_number_of_threads():
    x, kernel, ends = torch.rand(70, 1, 28, 28), Langevin(), []
    energy, threads = ConvNet(4), torch.get_num_threads()
    for n in (1, 2, 3):
        torch.set_num_threads(n)
        ends.append(run_chain(energy, kernel, x, 5, rng=torch.Generator().manual_seed(1)).x)
    torch.set_num_threads(threads)
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


def test_a_chain_cut_anywhere_is_the_same_chain():
    net, x, settings = native_net(ConvNet(4)), torch.rand(40, 1, 28, 28), {**FREE, "seed": 2**63 - 1, "stream": 3}
    falling, rising = torch.linspace(2.5, 0.5, 9)[:, None], torch.linspace(0.1, 0.9, 9)[:, None]
    numbers = StepNumbers(falling, 0.1 * rising, 0 * rising, lead=rising, keep=0.5 * falling)
    first, second = (StepNumbers(*(t[part] for t in numbers)) for part in (slice(4), slice(4, 9)))
    chains = 5 * torch.arange(40)
    whole = net.langevin(x, numbers, first_step=2, chains=chains, **settings)
    half = net.langevin(x, first, first_step=2, chains=chains, **settings)
    rest = net.langevin(half.x, second, first_step=6, chains=chains, memory=half.memory, **settings)
    assert torch.equal(rest.x, whole.x)
    assert torch.equal(rest.memory, whole.memory)
    assert not torch.equal(net.langevin(half.x, second, first_step=6, chains=chains, **settings).x, whole.x)
    some = net.langevin(x[3:8], numbers, first_step=2, chains=chains[3:8], **settings)
    assert torch.equal(some.x, whole.x[3:8])


def test_progress_is_told_of_every_step_of_a_chain_in_stretches(monkeypatch):
    energy, x = ConvNet(4), torch.rand(40, 1, 28, 28)
    whole = run_chain(energy, Langevin(), x, 9, rng=torch.Generator().manual_seed(2), record=True)
    monkeypatch.setattr("ebmnist.sampling.native_chains.STRIDE", 80)
    told: list[int] = []
    rng = torch.Generator().manual_seed(2)
    cut = run_chain(energy, Langevin(), x, 9, rng=rng, record=True, keep=[3], progress=told.append)
    assert torch.equal(cut.x, whole.x)
    assert torch.equal(cut.trace.energy, whole.trace.energy)
    assert told == list(range(1, 10))


def test_annealing_reaches_the_noise():
    x, kernel = torch.zeros(64, 1, 28, 28), Langevin(step_size=1.0, clamp=None)
    chain = run_chain(
        flat(), kernel, x, 3, rng=torch.Generator().manual_seed(0), temperatures=[4.0, 0.0, 0.25], keep=range(4)
    )
    spread = chain.trajectory.diff(dim=0).flatten(1).std(dim=1)
    torch.testing.assert_close(spread, torch.tensor([2.0, 0.0, 0.5]), rtol=0.02, atol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(bad):
    """The guard has to see it."""
    energy = ConvNet(4)
    with torch.no_grad():
        next(iter(energy.parameters()))[0, 0, 0, 0] = bad
    x = torch.rand(3, 1, 28, 28)
    chain = run_chain(energy, Langevin(), x, 2, rng=torch.Generator().manual_seed(0))
    assert not chain.last.energy.isfinite().any()
    assert not chain.x.isfinite().all()
    energy(x).sum().backward()
    assert not all(p.grad.isfinite().all() for p in energy.parameters())


def test_one_bad_chain_leaves_the_others_alone():
    energy, x = ConvNet(4, precision="fp32"), torch.rand(40, 1, 28, 28)
    clean = run_chain(energy, Langevin(), x, 3, rng=torch.Generator().manual_seed(0)).x
    x[7] = float("nan")
    dirty = run_chain(energy, Langevin(), x, 3, rng=torch.Generator().manual_seed(0)).x
    others = torch.arange(40) != 7
    assert torch.equal(dirty[others], clean[others])
    assert dirty[7].isnan().all()


@pytest.mark.parametrize(
    ("energy", "x"),
    [
        (ConvNet(2, activation="elu"), torch.rand(2, 1, 28, 28)),
        (ConvNet(2).double(), torch.rand(2, 1, 28, 28, dtype=torch.float64)),
        (ConvNet(2), torch.empty(0, 1, 28, 28)),
    ],
    ids=["elu", "float64", "empty"],
)
def test_what_it_does_not_know_goes_to_torch(energy, x, monkeypatch):
    expected = in_torch(energy, monkeypatch)(x)
    assert torch.equal(energy(x), expected)
    assert len(run_chain(energy, Langevin(), x, 1, rng=torch.Generator().manual_seed(0)).x) == len(x)


def test_a_gradient_of_a_gradient_goes_to_torch():
    """Score matching differentiates ∇E with respect to the weights."""
    energy, x = ConvNet(2), torch.rand(2, 1, 28, 28, requires_grad=True)
    (grad,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True)
    grad.square().sum().backward()
    assert all(p.grad is not None for name, p in energy.named_parameters() if name != "head.bias")


def test_no_stale_native_net_is_read():
    energy, x = ConvNet(4).requires_grad_(False), torch.rand(2, 1, 28, 28)
    before, still = energy(x), frozen(energy)
    assert native_net(still) is native_net(still)
    assert native_net(energy) is native_net(energy)
    with torch.no_grad():
        energy.head.bias.data.add_(1.0)  # a write that autograd's version counter does not see
    torch.testing.assert_close(energy(x), before + 1)
    assert torch.equal(still(x), before)
    twin = copy.deepcopy(still)  # an ordinary energy, whose weights may change
    twin.head.bias.data.add_(1.0)
    torch.testing.assert_close(twin(x), before + 1)


def test_the_cpp_gives_way_by_the_clamp_margin(rng):
    x = run_chain(
        ConvNet(4), Langevin(step_size=1.0, temperature=1.0, clamp_margin=0.25), torch.rand(8, 1, 28, 28), 1, rng=rng
    ).x
    assert (x.min(), x.max()) == (-0.25, 1.25)
