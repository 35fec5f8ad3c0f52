"""Contrastive divergence: push the energy of data down and of samples up."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.errors import BadInput


@dataclass(frozen=True)
class ContrastiveDivergence:
    """L = mean w(E(x⁺) − E(x⁻)) + λ·[mean (E(x⁺) − m)² + mean (E(x⁻) − m)² + 2·mean_l2·m²], m the mean of all.

    The first two terms have the gradient of the negative log-likelihood when x⁻ ~ exp(−E) (Hinton 2002).
    Where the chains that gave x⁻ began makes it CD-k, PCD or short-run: that is the `start`'s choice, not the loss's.
    The squares bound the energy's scale, the last one fixes the free constant of E. With mean_l2 = 1 they are
    λ·mean(E(x⁺)² + E(x⁻)²) (Du & Mordatch 2019). Their pull on the mean then makes Adam overshoot at every update. A
    hundredth of it fixes the constant as well, and leaves the weights alone (docs/concepts/regularisation.md).
    Where data and chains carry noise of many levels σ, a pair counts w = 1/(1 + sigma_weighting·σ). Without weights,
    noisy pairs dominate the gradient. An energy that fits every level is the optimum for any w > 0.
    Otherwise w = 1.
    With a `max_gap` c, a pair says |c − gap| − c instead of −gap, gap = E(x⁻) − E(x⁺): the same up to c, and beyond
    it a negative's energy is pulled down again. Chains that are no samples yet then have an energy to come to, where
    it would rise for as long as any come by (section 7.3).

    Raises:
        BadInput: a negative field, or a max_gap of 0; by the call, `sigma_weighting` with no levels.
    """

    energy_l2: float = 0.05
    """λ ≥ 0, the weight of the mean squares of the energies."""
    mean_l2: float = 1.0
    """Share of λ with which the mean of all energies is pulled to zero, ≥ 0; 1 is Du & Mordatch's."""
    max_gap: float | None = None
    """c > 0, times 1 + σ² where pairs have levels; null for none."""
    sigma_weighting: float = 0.0
    """How much less a pair counts for its noise, per pixel's σ on [0, 1], ≥ 0; for the kernel `annealed_langevin`."""

    def __post_init__(self) -> None:
        for name in ("energy_l2", "mean_l2", "sigma_weighting"):
            if not (value := getattr(self, name)) >= 0:
                raise BadInput(f"contrastive_divergence: {name} must be ≥ 0, not {value}")
        if self.max_gap is not None and not self.max_gap > 0:
            raise BadInput(f"contrastive_divergence: max_gap must be > 0 or null, not {self.max_gap}")

    def __call__(
        self,
        energy: Energy,
        x_pos: Tensor,
        x_neg: Tensor,
        *,
        regularisation: float = 1.0,
        levels: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its terms detached; `regularisation` multiplies λ, `levels` are σ of each pair, (B,)."""
        # One forward for both: half the calls, and spectral norm's power iteration moves once an update.
        values = energy(torch.cat([x_pos, x_neg]))
        e_pos, e_neg = values[: len(x_pos)], values[len(x_pos) :]
        gap = self._gap(e_pos, e_neg, levels)
        middle = (e_pos.mean() + e_neg.mean()) / 2
        squares = e_pos.square().mean() + e_neg.square().mean() - 2 * (1 - self.mean_l2) * middle.square()
        loss = gap + self.energy_l2 * regularisation * squares
        with torch.no_grad():
            largest = torch.maximum(e_pos.abs().max(), e_neg.abs().max())
        return loss, {
            "energy_pos": e_pos.mean().detach(),
            "energy_neg": e_neg.mean().detach(),
            "energy_max": largest,
        }

    def _gap(self, e_pos: Tensor, e_neg: Tensor, levels: Tensor | None) -> Tensor:
        if not self.sigma_weighting and self.max_gap is None:
            return e_pos.mean() - e_neg.mean()
        if self.sigma_weighting and levels is None:
            raise BadInput(
                "contrastive_divergence: sigma_weighting is for a kernel with levels of noise: annealed_langevin"
            )
        sigma, pairs = torch.zeros_like(e_pos) if levels is None else levels, e_pos - e_neg
        if self.max_gap is not None:
            above = self.max_gap * (1 + sigma.square())
            pairs = (above + pairs).abs() - above
        return (pairs / (1 + self.sigma_weighting * sigma)).mean()
