"""Linear measurements y = A x + noise of an image: what restoration inverts."""

from ebmnist.inference.operators.average_pool import AveragePool
from ebmnist.inference.operators.base import LinearOperator
from ebmnist.inference.operators.gaussian_blur import GaussianBlur
from ebmnist.inference.operators.identity import Identity
from ebmnist.inference.operators.mask import Mask

REGISTRY = {"identity": Identity, "mask": Mask, "average_pool": AveragePool, "gaussian_blur": GaussianBlur}

__all__ = ["REGISTRY", "AveragePool", "GaussianBlur", "Identity", "LinearOperator", "Mask"]
