"""The same E(x), ∂E/∂x, ∂E/∂θ and Langevin steps in C++: x ← x − (ε²/2)∇E + ε√T ξ with no framework in the loop."""

from ebmnist.native.build import bf16_is_fast, engine, library
from ebmnist.native.conv import Conv
from ebmnist.native.network import NativeNet, NativeSegment
from ebmnist.native.random import normals, philox, words
from ebmnist.native.steps import StepNumbers

__all__ = [
    "Conv",
    "NativeNet",
    "NativeSegment",
    "StepNumbers",
    "bf16_is_fast",
    "engine",
    "library",
    "normals",
    "philox",
    "words",
]
