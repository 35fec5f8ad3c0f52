"""Numbers one can trust: what a trained energy is worth, on samples from noise, beside floors and baselines."""

from ebmnist.evaluation.base import Figure, Measured, Section, Subject, Unmeasurable
from ebmnist.evaluation.fidelity import Fidelity

REGISTRY = {"fidelity": Fidelity}

__all__ = ["REGISTRY", "Fidelity", "Figure", "Measured", "Section", "Subject", "Unmeasurable"]
