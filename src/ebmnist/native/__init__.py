"""The same E(x), ∂E/∂x, ∂E/∂θ and Langevin steps in C++: x ← x − (ε²/2)∇E + ε√T ξ with no framework in the loop."""

from ebmnist.native.build import bf16_is_fast, library
from ebmnist.native.network import Conv, Packed, Walked

__all__ = ["Conv", "Packed", "Walked", "bf16_is_fast", "library"]
