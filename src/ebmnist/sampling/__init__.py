"""Samples x⁻ ~ p(x) ∝ exp(−E(x)/T) by Markov chains: x ← x − (ε²/2)∇E + ε√T ξ."""

from ebmnist.sampling.ancestral import Ancestral
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
from ebmnist.sampling.base import ChainState, Draw, Kernel, NoiseSchedule, Start, StepInfo
from ebmnist.sampling.chain import Chain, Trace, run_chain, sample
from ebmnist.sampling.langevin import Langevin
from ebmnist.sampling.mala import MALA
from ebmnist.sampling.samples import check_whole_cycles, cycle_of, samples_of
from ebmnist.sampling.start import FromData, FromNoise, ReplayBuffer, uniform_noise

REGISTRY = {"langevin": Langevin, "annealed_langevin": AnnealedLangevin, "mala": MALA}
# Samplers for energies trained at all noise levels; each has `of(kernel, n_steps)`.
SAMPLERS = {"ancestral": Ancestral}

__all__ = [
    "MALA",
    "REGISTRY",
    "SAMPLERS",
    "Ancestral",
    "AnnealedLangevin",
    "Chain",
    "ChainState",
    "Draw",
    "FromData",
    "FromNoise",
    "Kernel",
    "Langevin",
    "NoiseSchedule",
    "ReplayBuffer",
    "Start",
    "StepInfo",
    "Trace",
    "check_whole_cycles",
    "cycle_of",
    "run_chain",
    "sample",
    "samples_of",
    "uniform_noise",
]
