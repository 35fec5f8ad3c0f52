"""Where training's negative chains begin: the buffer (PCD), noise (short-run) or data (CD-k)."""

from ebmnist.sampling.start.data import FromData
from ebmnist.sampling.start.noise import FromNoise, uniform_noise
from ebmnist.sampling.start.replay import ReplayBuffer

REGISTRY = {"replay": ReplayBuffer, "noise": FromNoise, "data": FromData}

__all__ = ["REGISTRY", "FromData", "FromNoise", "ReplayBuffer", "uniform_noise"]
