"""Losses L(θ) whose gradient moves the energy: ∇L = E_pos[∇E] − E_neg[∇E] and its kin."""

from ebmnist.training.objectives.contrastive_divergence import ContrastiveDivergence

REGISTRY = {"contrastive_divergence": ContrastiveDivergence}

__all__ = ["REGISTRY", "ContrastiveDivergence"]
