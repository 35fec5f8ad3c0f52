"""Convergence of chains: do they agree, and how many independent draws are they worth? (Vehtari et al. 2021)."""

import math

import torch
from torch import Tensor

from ebmnist.errors import Unmeasurable


def rhat(chains: Tensor) -> float:
    """Return the rank-normalised split R̂ of chains (M, N), N ≥ 4: 1 where they agree, over 1.01 they do not.

    R̂ = √(var⁺/W), the larger of two: of the draws, and of their distances from the median (Vehtari et al. 2021).
    Infinite where no chain moves and they differ.

    Raises:
        Unmeasurable: too few draws, a draw that is not finite, or draws all alike.
    """
    halves = _halves(_checked(chains))
    ordered = halves.flatten().sort().values  # an even number of them
    median = (ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2]) / 2
    folded = (halves - median).abs()
    return max(_rhat(_rank_normalised(x)) for x in (halves, folded) if _varies(x))


def ess_bulk(chains: Tensor) -> float:
    """Return how many independent draws the bulk of chains (M, N), N ≥ 4, is worth, of M × N (Vehtari et al. 2021).

    Raises:
        Unmeasurable: too few draws, a draw that is not finite, or draws all alike.
    """
    return _ess(_rank_normalised(_halves(_checked(chains))))


def ess_tail(chains: Tensor) -> float:
    """Return the smaller effective sample size of I(x ≤ q₀.₀₅) and I(x ≤ q₀.₉₅), chains (M, N) (Vehtari et al. 2021).

    Raises:
        Unmeasurable: too few draws, a draw that is not finite, or the upper twentieth of them all alike.
    """
    x = _checked(chains)
    return min(_ess(_halves((x <= x.quantile(q)).double())) for q in (0.05, 0.95))


def autocorrelation(chains: Tensor) -> Tensor:
    """Return ρ_t of chains (M, N) at lags 0 … N − 1, (N,) float64.

    ρ_t = 1 − (W − mean_m s²_m ρ_mt)/var⁺ for t > 0: variance between chains counts as correlation that lasts
    (Vehtari et al. 2021; Gelman et al. 2013, sec. 11.5).

    Raises:
        Unmeasurable: too few draws, a draw that is not finite, or draws all alike.
    """
    return _autocorrelation(_checked(chains))


def _autocorrelation(x: Tensor) -> Tensor:
    n_chains, n = x.shape
    if not _varies(x):
        raise Unmeasurable("the draws of all chains are alike")
    # Autocovariance of every chain by a transform padded against wrapping around.
    power = torch.fft.rfft(x - x.mean(1, keepdim=True), 2 * n).abs().square()
    covariance = torch.fft.irfft(power, 2 * n)[:, :n].mean(0) / n  # (N,)
    within = covariance[0] * n / (n - 1)
    between = x.mean(1).var() if n_chains > 1 else x.new_zeros(())
    rho = 1 - (within - covariance) / (covariance[0] + between)
    rho[0] = 1
    return rho


def _ess(x: Tensor) -> float:
    """Return M N / τ, τ = 1 + 2 Σ ρ_t up to where the sum over pairs of lags turns negative (Geyer 1992)."""
    n = x.shape[1]
    rho = _autocorrelation(x)
    pairs = rho[: n // 2 * 2].view(-1, 2).sum(1)
    n_positive = int((pairs > 0).long().cumprod(0).sum())
    n_pairs = min(n_positive, max(0, (n - 3) // 2))
    # Initial monotone sequence, and the even half of the first pair left out.
    monotone = pairs[: n_pairs + 1].cummin(0).values[:n_pairs]
    tau = -1 + 2 * float(monotone.sum()) + max(0.0, float(rho[2 * n_pairs]))
    # Antithetic chains may be worth more than M N, within reason.
    return x.numel() / max(tau, 1 / math.log10(x.numel()))


def _rhat(x: Tensor) -> float:
    n = x.shape[1]
    within = x.var(1).mean()
    between = n * x.mean(1).var()
    return float(((between / within + n - 1) / n).sqrt())


def _rank_normalised(x: Tensor) -> Tensor:
    """Return Φ⁻¹((r − 3/8)/(S + 1/4)), r the ranks among all S draws, ties sharing their mean rank (Blom 1958)."""
    _, place, count = torch.unique(x, return_inverse=True, return_counts=True)
    rank = count.cumsum(0) - (count - 1) / 2
    return torch.special.ndtri((rank[place].double() - 3 / 8) / (x.numel() + 1 / 4))


def _halves(x: Tensor) -> Tensor:
    """Return the first and the last half of every chain as chains, (M, N) -> (2M, ⌊N/2⌋)."""
    half = x.shape[1] // 2
    return torch.cat([x[:, :half], x[:, -half:]])


def _checked(chains: Tensor) -> Tensor:
    x = chains.double()
    if x.dim() != 2 or x.shape[1] < 4:
        raise Unmeasurable(f"chains of shape {tuple(x.shape)}: give one row a chain, of 4 draws or more")
    if not torch.isfinite(x).all():
        raise Unmeasurable("a chain holds a draw that is NaN or infinite")
    if not _varies(x):
        raise Unmeasurable("the draws of all chains are alike")
    return x


def _varies(x: Tensor) -> bool:
    return bool((x != x[0, 0]).any())
