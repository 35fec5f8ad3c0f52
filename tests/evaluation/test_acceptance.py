import pytest
import torch
from torch import Tensor, nn

from ebmnist.evaluation.acceptance import ReflectedMALA, mala_acceptance
from ebmnist.sampling.chain import run_chain
from ebmnist.sampling.langevin import Langevin
from ebmnist.sampling.mala import MALA
from targets import Gaussian, Tilted, assert_moments

BOX = (0.0, 1.0)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("step_size", [0.3, 0.9])
def test_reflected_mala_leaves_the_law_on_the_box_as_it_is(step_size: float, clip: float | None) -> None:
    target = Tilted(3.0)
    x = target.draw(20_000, (2,), rng())
    chain = run_chain(target, ReflectedMALA(step_size, 1.0, clip, clamp=BOX), x, 15, rng=rng(1), record=True)
    assert_moments(chain.x, target.mean, target.variance)
    assert chain.trace is not None
    assert 0.1 < float(chain.trace.accepted.mean()) < 0.99


def test_reflected_mala_finds_the_law_from_the_wall() -> None:
    target = Tilted(3.0)
    chain = run_chain(target, ReflectedMALA(0.5, 1.0, clamp=BOX), torch.zeros(20_000, 1), 40, rng=rng(1))
    assert_moments(chain.x, target.mean, target.variance)


def test_without_a_box_it_is_mala_to_the_bit() -> None:
    x = torch.randn(50, 3, generator=rng(), dtype=torch.float64)
    ours = run_chain(Gaussian(), ReflectedMALA(0.9, 0.7), x, 10, rng=rng(1), record=True)
    theirs = run_chain(Gaussian(), MALA(0.9, 0.7), x, 10, rng=rng(1), record=True)
    torch.testing.assert_close(ours.x, theirs.x)
    assert ours.trace is not None
    assert theirs.trace is not None
    assert torch.equal(ours.trace.accepted, theirs.trace.accepted)
    assert 0 < float(ours.trace.accepted.mean()) < 1


def test_unadjusted_it_takes_every_step_and_stays_in_the_box() -> None:
    x = torch.zeros(30, 4)
    chain = run_chain(Tilted(50.0), ReflectedMALA(0.1, 1.0, clamp=BOX, adjusted=False), x, 20, rng=rng(), record=True)
    assert chain.trace is not None
    assert chain.trace.accepted.all()
    assert float(chain.x.min()) >= 0
    assert float(chain.x.max()) <= 1


@pytest.mark.parametrize("clamp", [None, (-10.0, 10.0)])
def test_acceptance_of_a_gaussian_is_the_known_one(clamp: tuple[float, float] | None) -> None:
    """Roberts & Rosenthal 1998, theorem 1 and the Gaussian's K = ¼: 2 Φ(−ε³ √d / 8) in many dimensions d."""
    kernel = Langevin(step_size=1.0, temperature=1.0, clip=None, clamp=clamp)
    x = run_chain(Gaussian(), kernel, torch.zeros(100, 784), 50, rng=rng()).x  # the kernel's law, not exp(−E)
    scales = (1.0, 0.5, 0.25)
    seen = mala_acceptance(Gaussian(), kernel, x, rng=rng(1), n_steps=5, scales=scales).mean(1)
    expected = 2 * torch.special.ndtr(-(torch.tensor(scales).double() ** 3) * 784**0.5 / 8)
    torch.testing.assert_close(seen, expected, atol=0.06, rtol=0)


def test_acceptance_rises_to_one_as_the_step_shrinks() -> None:
    kernel = Langevin(step_size=1.0, temperature=0.01, clip=None)
    x = torch.zeros(40, 1, 4, 4)  # as the clamp leaves it, in the corner
    shares = mala_acceptance(Tilted(5.0), kernel, x, rng=rng(), scales=(1.0, 0.03, 0.001)).mean(1).tolist()
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] > 0.95


def test_acceptance_is_measured_in_float64_and_leaves_the_energy_alone() -> None:
    seen = []

    class Linear(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.dtype)
            return super().forward(x.flatten(1)).squeeze(1)

    energy = Linear(4, 1)
    shares = mala_acceptance(energy, Langevin(step_size=0.01), torch.rand(5, 4, generator=rng()), rng=rng())
    assert shares.shape == (1, 5)
    assert seen.count(torch.float64) == 1 + 10  # MALA's: its start and its proposals
    assert energy.weight.dtype == torch.float32
    assert energy.weight.grad is None
