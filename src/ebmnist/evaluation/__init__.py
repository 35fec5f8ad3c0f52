"""Metrics of a trained energy, on samples from noise, beside real references and baselines."""

from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, Section, SectionResult
from ebmnist.evaluation.chain_length import ChainLength
from ebmnist.evaluation.denoising import Denoising
from ebmnist.evaluation.fidelity import Fidelity
from ebmnist.evaluation.inpainting import Inpainting
from ebmnist.evaluation.landscape import Landscape
from ebmnist.evaluation.likelihood import Likelihood
from ebmnist.evaluation.mixing import Mixing
from ebmnist.evaluation.ood import OutOfDistribution
from ebmnist.evaluation.restoration import Restoration

REGISTRY: dict[str, type[Section]] = {
    "fidelity": Fidelity,
    "chain_length": ChainLength,
    "mixing": Mixing,
    "denoising": Denoising,
    "inpainting": Inpainting,
    "ood": OutOfDistribution,
    "landscape": Landscape,
    "likelihood": Likelihood,
    "restoration": Restoration,
}

__all__ = ["REGISTRY", "EvaluationContext", "Metric", "Section", "SectionResult", "Unmeasurable"]
