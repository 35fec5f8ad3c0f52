"""Losses L(θ) whose gradient moves the energy: ∇L = E_pos[∇E] − E_neg[∇E] and its kin, and score matching."""

from ebmnist.training.objectives.contrastive_divergence import ContrastiveDivergence
from ebmnist.training.objectives.dual_score_matching import DualScoreMatching

REGISTRY = {"contrastive_divergence": ContrastiveDivergence, "dual_score_matching": DualScoreMatching}

__all__ = ["REGISTRY", "ContrastiveDivergence", "DualScoreMatching"]
