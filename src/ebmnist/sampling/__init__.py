"""Samples x⁻ ~ p(x) ∝ exp(−E(x)/T) by Markov chains: x ← x − (ε²/2)∇E + ε√T ξ."""

from ebmnist.sampling.ancestral import Ancestral
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
from ebmnist.sampling.base import ChainState, Draw, Kernel, NoiseSchedule, Sampler, Start, StepInfo
from ebmnist.sampling.chain import Chain, Trace, run_chain, sample
from ebmnist.sampling.diffusion import DiffusionSampler
from ebmnist.sampling.dpm_solver import DPMSolver
from ebmnist.sampling.heun import Heun
from ebmnist.sampling.hmc import HMC
from ebmnist.sampling.langevin import Langevin
from ebmnist.sampling.mala import MALA
from ebmnist.sampling.parallel_tempering import ParallelTempering
from ebmnist.sampling.samples import check_whole_cycles, cycle_of, samples_of
from ebmnist.sampling.start import FromData, FromNoise, ReplayBuffer, uniform_noise
from ebmnist.sampling.underdamped_langevin import UnderdampedLangevin

REGISTRY = {
    "langevin": Langevin,
    "annealed_langevin": AnnealedLangevin,
    "mala": MALA,
    "hmc": HMC,
    "underdamped_langevin": UnderdampedLangevin,
    "parallel_tempering": ParallelTempering,
}
# Samplers for energies trained at all noise levels; each has `of(kernel, n_steps)`.
SAMPLERS: dict[str, type[DiffusionSampler]] = {"ancestral": Ancestral, "heun": Heun, "dpm_solver": DPMSolver}

__all__ = [
    "HMC",
    "MALA",
    "REGISTRY",
    "SAMPLERS",
    "Ancestral",
    "AnnealedLangevin",
    "Chain",
    "ChainState",
    "DPMSolver",
    "DiffusionSampler",
    "Draw",
    "FromData",
    "FromNoise",
    "Heun",
    "Kernel",
    "Langevin",
    "NoiseSchedule",
    "ParallelTempering",
    "ReplayBuffer",
    "Sampler",
    "Start",
    "StepInfo",
    "Trace",
    "UnderdampedLangevin",
    "check_whole_cycles",
    "cycle_of",
    "run_chain",
    "sample",
    "samples_of",
    "uniform_noise",
]
