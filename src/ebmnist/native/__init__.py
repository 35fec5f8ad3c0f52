"""The same E(x), ∂E/∂x, ∂E/∂θ and Langevin steps in C++: x ← x − (ε²/2)∇E + ε√T ξ with no framework in the loop."""

from ebmnist.native.build import bf16_is_fast, engine, library
from ebmnist.native.conv import Conv
from ebmnist.native.network import NativeNet, NativeSegment
from ebmnist.native.random import normals, philox, words

__all__ = ["Conv", "NativeNet", "NativeSegment", "bf16_is_fast", "engine", "library", "normals", "philox", "words"]
