import pytest
import torch
from torch import Tensor

from ebmnist.inference.bidirectional import Bracket, bracket_log_z
from ebmnist.inference.probit import ProbitBase
from targets import Gaussian, Mixture

N = 100


def bracket(target: Gaussian | Mixture, starts: Tensor, rng: torch.Generator, n_burn: int = 5) -> Bracket:
    n_dims = starts.shape[1]
    eye = 2 * torch.eye(n_dims)  # C^¼: the base is N(0, 16 I), wide enough for every mode
    base = ProbitBase(torch.zeros(n_dims), eye, eye.inverse(), n_dims * torch.tensor(16.0).log().item())
    return bracket_log_z(
        base, lambda v: target(base.to_y(v)), base.from_y(starts), n_rungs=250, n_steps=2, n_burn=n_burn, rng=rng
    )


@pytest.mark.parametrize(
    ("target", "n_dims"),
    [(Gaussian(1.0, 0.5), 8), (Gaussian(-2.0, 3.0), 5), (Mixture((-2.0, 2.0), (0.25, 0.75), 1.0), 2)],
)
def test_a_known_normaliser_lies_between_the_ends(
    target: Gaussian | Mixture, n_dims: int, rng: torch.Generator
) -> None:
    found = bracket(target, target.draw(N, (n_dims,), rng), rng)
    truth = target.log_z(n_dims)
    assert found.lower.value - 3 * found.lower.error <= truth <= found.upper.value + 3 * found.upper.error
    assert -3 * found.error < found.width < 1
    assert min(found.lower.ess, found.upper.ess) > N / 5


def test_starts_that_miss_the_main_mode_make_the_ends_cross(rng: torch.Generator) -> None:
    target = Mixture((-4.0, 4.0), (0.02, 0.98), 0.5)
    found = bracket(target, target.draw(10 * N, (2,), rng), rng)
    assert found.width > -3 * found.error
    minor = Gaussian(-4.0, 0.5).draw(N, (2,), rng)
    missed = bracket(target, minor, rng)
    assert missed.lower.value == pytest.approx(target.log_z(2), abs=4 * missed.lower.error)
    assert missed.width < -3 * missed.error


def test_same_rng_same_bracket_and_no_burn_keeps_the_starts() -> None:
    target = Gaussian(1.0, 0.5)
    starts = target.draw(20, (3,), torch.Generator().manual_seed(1))
    first, second = (bracket(target, starts, torch.Generator().manual_seed(2), n_burn=0) for _ in range(2))
    assert first[:3] == second[:3]
    torch.testing.assert_close(first.starts * 2, starts)
