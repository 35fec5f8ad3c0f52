import pytest
import torch
from torch import Tensor

from ebmnist.errors import Unmeasurable
from ebmnist.inference.chain_fit import fit_chains, level_edges
from ebmnist.inference.gaussian import Gaussian
from ebmnist.random import Rng
from laws import TwoPoints

D = 64


def black_or_white(n: int, seed: int) -> Tensor:
    return (torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) < 0.5).float()


LAW = Gaussian(torch.full((D,), 0.5).double(), torch.full((D,), 0.25).double(), torch.eye(D).double())
EDGES = level_edges(4.0, 0.1, 6)


def test_the_chain_ends_where_validation_images_cost_least() -> None:
    seen: list[int] = []
    chains = fit_chains(
        TwoPoints(), LAW, black_or_white(500, 0), black_or_white(300, 1), EDGES, rng=Rng(0), watch=seen.append
    )
    assert seen == list(range(1, 10))  # six levels, three decoders
    for fitted in (chains.calibrated, chains.scaled):
        torch.testing.assert_close(fitted.sigmas, torch.tensor(EDGES[4:]))
        assert fitted.chain.sigma_min == pytest.approx(float(fitted.sigmas[fitted.nats.argmin()]))
        assert fitted.chain.decoder.sigma == fitted.chain.sigma_min
        assert float(fitted.nats.min()) == pytest.approx(D * 0.6931, rel=0.03)
    # The exact denoiser needs no other scale.
    assert all(abs(factor - 1) < 0.03 for factor in chains.denoiser.factors)


def test_a_denoiser_that_is_weak_at_little_noise_is_calibrated_there() -> None:
    def weak(y: Tensor, sigma: Tensor) -> Tensor:
        return TwoPoints()(y, sigma.clamp_min(1.0))

    chains = fit_chains(weak, LAW, black_or_white(500, 0), black_or_white(300, 1), EDGES, rng=Rng(0))
    assert float(chains.calibrated.nats.min()) == pytest.approx(D * 0.6931, rel=0.03)
    assert float(chains.scaled.nats.min()) > float(chains.calibrated.nats.min()) + 1


def test_estimates_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(Unmeasurable, match="not finite"):
        fit_chains(lambda y, s: y * torch.nan, LAW, black_or_white(20, 0), black_or_white(20, 1), EDGES, rng=Rng(0))  # noqa: ARG005
