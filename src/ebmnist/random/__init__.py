"""Random numbers as functions of their address: ξ(seed, purpose, call, chain, step, draw, pixel), by Philox4x32-10."""

from ebmnist.random.philox import philox
from ebmnist.random.rng import AnyRng, AnySource, Rng, Source, source_of
from ebmnist.random.steps import ChainRng, StepRng
from ebmnist.random.streams import Purpose, Stream, check_seed
from ebmnist.random.weights import initialised_from

__all__ = [
    "AnyRng",
    "AnySource",
    "ChainRng",
    "Purpose",
    "Rng",
    "Source",
    "StepRng",
    "Stream",
    "check_seed",
    "initialised_from",
    "philox",
    "source_of",
]
