"""Contrastive divergence: push the energy of data down and of samples up."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmnist.energy.base import Energy
from ebmnist.errors import BadInput


@dataclass(frozen=True)
class ContrastiveDivergence:
    """L = mean E(x⁺) − mean E(x⁻) + λ·[mean (E(x⁺) − m)² + mean (E(x⁻) − m)² + 2·offset·m²], m the mean of all.

    The first two terms have the gradient of the negative log-likelihood when x⁻ ~ exp(−E) (Hinton 2002).
    Where the chains that gave x⁻ began makes it CD-k, PCD or short-run: that is the `start`'s choice, not the loss's.
    The squares bound the energy's scale, the last one pins its free offset. With offset = 1 they are
    λ·mean(E(x⁺)² + E(x⁻)²) (Du & Mordatch 2019), whose pull on the offset makes Adam overshoot at every update; a
    hundredth of it pins the offset as well and leaves the weights alone (docs/theory.md, section 8).

    Raises:
        BadInput: a negative field.
    """

    energy_l2: float = 0.05
    """λ ≥ 0."""
    offset: float = 1.0
    """Share of λ with which the mean of all energies is pulled to zero, ≥ 0; 1 is Du & Mordatch's."""

    def __post_init__(self) -> None:
        for name, value in (("energy_l2", self.energy_l2), ("offset", self.offset)):
            if not value >= 0:
                raise BadInput(f"contrastive_divergence: {name} must be ≥ 0, not {value}")

    def __call__(
        self, energy: Energy, x_pos: Tensor, x_neg: Tensor, *, regularisation: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its terms detached; `regularisation` multiplies λ."""
        # One forward for both: half the calls, and spectral norm's power iteration moves once an update.
        values = energy(torch.cat([x_pos, x_neg]))
        e_pos, e_neg = values[: len(x_pos)], values[len(x_pos) :]
        gap = e_pos.mean() - e_neg.mean()
        middle = (e_pos.mean() + e_neg.mean()) / 2
        squares = e_pos.square().mean() + e_neg.square().mean() - 2 * (1 - self.offset) * middle.square()
        loss = gap + self.energy_l2 * regularisation * squares
        with torch.no_grad():
            largest = torch.maximum(e_pos.abs().max(), e_neg.abs().max())
        return loss, {
            "energy_pos": e_pos.mean().detach(),
            "energy_neg": e_neg.mean().detach(),
            "energy_max": largest,
        }
