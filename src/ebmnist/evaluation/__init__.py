"""Numbers one can trust: what a trained energy is worth, on samples from noise, beside floors and baselines."""

from ebmnist.evaluation.base import Figure, Measured, Section, Subject, Unmeasurable
from ebmnist.evaluation.chain_length import ChainLength
from ebmnist.evaluation.denoising import Denoising
from ebmnist.evaluation.fidelity import Fidelity
from ebmnist.evaluation.inpainting import Inpainting
from ebmnist.evaluation.landscape import Landscape
from ebmnist.evaluation.likelihood import Likelihood
from ebmnist.evaluation.mixing import Mixing
from ebmnist.evaluation.ood import OutOfDistribution

REGISTRY: dict[str, type[Section]] = {
    "fidelity": Fidelity,
    "chain_length": ChainLength,
    "mixing": Mixing,
    "denoising": Denoising,
    "inpainting": Inpainting,
    "ood": OutOfDistribution,
    "landscape": Landscape,
    "likelihood": Likelihood,
}

__all__ = ["REGISTRY", "Figure", "Measured", "Section", "Subject", "Unmeasurable"]
