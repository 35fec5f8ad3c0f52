"""The hyper-parameters of training: how long and how fast. What changes while it runs is in `state`."""

import math
from dataclasses import dataclass, field

from ebmnist.errors import BadInput
from ebmnist.random.streams import N_STEPS
from ebmnist.training.guard import Guard
from ebmnist.training.schedule import Schedule


@dataclass(frozen=True)
class Training:
    """How long and how fast to train.

    Raises:
        BadInput: a field out of its range.
    """

    n_updates: int = 1000
    """Optimiser steps, ≥ 1."""
    batch_size: int = 128
    """Real images, and chains, per update, ≥ 2."""
    n_steps: int = 20
    """Langevin steps per update, ≥ 1."""
    data_noise: float = 0.0025
    """σ of the Gaussian noise on real images, pixels on [0, 1]; at least the Langevin noise ε√T. Not used
    with a noise schedule (`annealed_langevin`): there each real image has the noise of one chain's step."""
    lr: float = 6e-4
    """Adam's learning rate, > 0."""
    beta1: float = 0.0
    """Adam's first moment decay; 0 because the negatives' distribution moves with the energy."""
    beta2: float = 0.999
    """Adam's second moment decay."""
    weight_decay: float = 0.0
    """Times the learning rate, the share of the weights that an update takes away, ≥ 0 (Loshchilov & Hutter 2019)."""
    microbatch_size: int | None = None
    """The most images that are moved or differentiated at a time, ≥ 1; null for all that a process has of an update.
    Where it is set, gradients are accumulated: less memory, and with chains each energy is computed twice. The update
    is the same, within rounding."""
    gradient_compression: bool = False
    """Whether the processes of one run (`torchrun`) send each other weight gradients as 32-bit whole numbers, half the
    bytes: rounded to some 28 bits of each tensor's largest component."""
    weight_grad_clip: float = 1.0
    """‖∂L/∂θ‖ is clipped to this, > 0."""
    ema_decay: float = 0.999
    """Decay of the averaged weights, which do all sampling outside training; 0 for no averaging."""
    schedule: Schedule = field(default_factory=Schedule)
    guard: Guard = field(default_factory=Guard)

    def __post_init__(self) -> None:
        for name, least in (
            ("n_updates", 1),
            ("batch_size", 2),
            ("n_steps", 1),
            ("data_noise", 0.0),
            ("weight_decay", 0.0),
        ):
            value = getattr(self, name)
            if not value >= least:
                raise BadInput(f"training: {name} must be ≥ {least}, not {value}")
        if self.microbatch_size is not None and not (
            isinstance(self.microbatch_size, int) and self.microbatch_size >= 1
        ):
            raise BadInput(f"training: microbatch_size must be ≥ 1 or null, not {self.microbatch_size}")
        if self.n_updates * self.n_steps > N_STEPS:
            raise BadInput(f"training: n_updates · n_steps must be ≤ 2³², not {self.n_updates} · {self.n_steps}")
        for name in ("lr", "weight_grad_clip"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise BadInput(f"training: {name} must be > 0, not {value}")
        for name in ("beta1", "beta2", "ema_decay"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise BadInput(f"training: {name} must be in [0, 1), not {value}")
