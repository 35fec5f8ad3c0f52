import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ebmnist.inference.calibration import fit_calibration
from ebmnist.inference.chain_fit import level_edges
from ebmnist.inference.variational_bound import Chain, Level, decoder_loss, diffusion_loss
from ebmnist.random import Rng
from laws import TwoPoints, correlated, draws

LOW, HIGH = 0.1, 2.0


def chain_nats(x: Tensor, levels: list[Level]) -> Tensor:
    law = correlated(6)
    diffusion = torch.stack([diffusion_loss(level, x, rng=Rng(k)) for k, level in enumerate(levels)]).sum(0)
    return law.divergence(x, HIGH) + diffusion


def test_the_bound_of_a_gaussian_is_its_mutual_information(rng: torch.Generator) -> None:
    """With the exact denoiser, prior and diffusion sum to I(x; y) = ½ Σ log(1 + λ/σ_min²): nothing is lost."""
    law = correlated(6)
    x = draws(law, 4000, rng)
    nats = chain_nats(x, [Level(0.5, HIGH, law), Level(LOW, 0.5, law)])
    exact = 0.5 * float((1 + law.eigenvalues / LOW**2).log().sum())
    error = float(nats.std()) / math.sqrt(len(nats))
    assert error < 0.01 * exact
    assert float(nats.mean()) == pytest.approx(exact, abs=4 * error)


def test_a_worse_denoiser_has_a_larger_bound(rng: torch.Generator) -> None:
    law = correlated(6)
    x = draws(law, 2000, rng)

    def worse(y: Tensor, sigma: Tensor) -> Tensor:
        return law(y, 1.5 * sigma)

    assert float((chain_nats(x, [Level(LOW, HIGH, worse)]) - chain_nats(x, [Level(LOW, HIGH, law)])).mean()) > 0.1


def test_the_bound_of_black_and_white_pixels_is_their_entropy() -> None:
    """Prior, diffusion and decoder together: log 2 a pixel, up to the prior's shape and the cells."""
    n, d = 1000, 64
    x = (torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    law = correlated(d)._replace(
        mean=torch.full((d,), 0.5).double(), eigenvalues=torch.full((d,), 0.25).double(), basis=torch.eye(d).double()
    )
    decoder = fit_calibration(TwoPoints(), x, 0.3, 0.3, rng=Rng(0))
    levels = [Level(low, high, TwoPoints()) for high, low in pairwise(level_edges(4.0, 0.3, 8))]
    chain = Chain(law, tuple(levels), decoder)
    assert (chain.sigma_max, chain.sigma_min) == (4.0, pytest.approx(0.3))
    loss = chain.loss(x, rng=Rng(1))
    error = float(loss.total.std()) / math.sqrt(n)
    assert error < 0.5
    assert float(loss.total.mean()) == pytest.approx(d * math.log(2), abs=4 * error + 0.01 * d)
    assert torch.equal(decoder_loss(decoder, x, 0.3, rng=Rng(3)), decoder_loss(decoder, x, 0.3, rng=Rng(3)))
