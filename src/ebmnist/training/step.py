"""One update of the energy, on one screen."""

import math
import time
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from ebmnist.energies.base import per_sample
from ebmnist.energies.levels import NoiseConditioned
from ebmnist.random import AnySource, Purpose, source_of
from ebmnist.sampling.base import Draw, Kernel, NoiseSchedule
from ebmnist.sampling.samples import clamp_margin_of
from ebmnist.training.base import DenoisingObjective, Objective, StepRecord
from ebmnist.training.divided import DividedEnergy, denoising_loss, move
from ebmnist.training.division import DENOISING_PIECE, PIECE, Division
from ebmnist.training.state import TrainState

Seen = dict[str, Tensor]  # scalars of a StepRecord, detached


@torch.inference_mode(mode=False)
@torch.enable_grad()
def train_step(state: TrainState, x_pos: Tensor) -> StepRecord:
    """Do one update of `state` on real images `x_pos`, (B, *shape): θ ← θ − η∇L(x⁺, x⁻).

    An update whose loss or gradient is not finite leaves the weights alone when the guard is on.
    With several ranks (`state.ranks`) each calls this with the same `x_pos`, and all have the same state afterwards.
    """
    begin = time.perf_counter()
    t, energy, objective = state.training, state.energy, state.objective
    regularisation = t.guard.regularisation(state.guard_state)

    # The gradient of the objective.
    energy.zero_grad()
    if isinstance(objective, DenoisingObjective):
        loss, terms = _on_noisy_images(state, objective, x_pos)
    else:
        loss, terms = _on_samples(state, objective, x_pos, regularisation)
    weight_grad_norm = clip_grad_norm_(energy.parameters(), t.weight_grad_clip)

    # One transfer to the host for everything that decides the update.
    seen = {"loss": loss.detach(), **terms, "weight_grad_norm": weight_grad_norm}
    values = dict(zip(seen, torch.stack([v.float() for v in seen.values()]).tolist(), strict=True))
    lr = state.lr
    if not t.guard.enabled or (math.isfinite(values["loss"]) and math.isfinite(values["weight_grad_norm"])):
        _descend(state, lr)
    state.step += 1
    return StepRecord(
        step=state.step,
        weight_norm=_norm(energy),
        lr=lr,
        energy_l2=getattr(objective, "energy_l2", 0.0) * regularisation,
        seconds=time.perf_counter() - begin,
        **{name: values[name] for name in StepRecord._fields if name in values},
    )


def _on_samples(state: TrainState, objective: Objective, x_pos: Tensor, regularisation: float) -> tuple[Tensor, Seen]:
    """The loss L(x⁺, x⁻) on real images and on chains, which are drawn, moved and put back; its gradient is left."""
    n_steps = state.training.n_steps
    draw = state.start.draw(x_pos, state.rng)
    noise, first = state.stream_of(Purpose.TRAINING_CHAINS), state.step * n_steps
    moved = move(division_of(state), state.energy, state.kernel, draw, n_steps, rng=noise, first_step=first)
    x_neg = moved.x
    state.start.put(draw, x_neg, n_steps)

    # Real images carry as much noise as the chains.
    sigma, clamp_margin = _smoothing(state, draw)
    levels = sigma.flatten() if isinstance(sigma, Tensor) else None
    clean, x_pos = (
        x_pos,
        noised(x_pos, sigma, state.kernel, state.rng_of(Purpose.DATA_NOISE), clamp_margin=clamp_margin),
    )
    whole = DividedEnergy(state.energy, division_of(state)) if _divided(state) else state.energy
    loss, terms = objective(whole, x_pos, x_neg, regularisation=regularisation, levels=levels)
    whole.backward(loss) if isinstance(whole, DividedEnergy) else loss.backward()  # type: ignore[no-untyped-call]
    return loss, {
        **terms,
        "grad_norm": moved.grad_norm.mean(),
        "share_clipped": moved.share_clipped.mean(),
        "share_at_clamp": _share_at_clamp(x_neg, clean, state.kernel),
        "displacement": (x_neg - draw.x).flatten(1).norm(dim=1).mean(),
        "diversity": _spread(x_neg) / _spread(x_pos),
        "finite_images": x_neg.isfinite().all().float(),
    }


def _on_noisy_images(state: TrainState, objective: DenoisingObjective, x: Tensor) -> tuple[Tensor, Seen]:
    """The loss on noisy images, whose gradient is left.

    They stand for x⁺ and for x⁻ alike, so what compares the two is 0 or 1.
    """
    rng = state.rng_of(Purpose.DATA_NOISE)
    energy = cast(NoiseConditioned, state.energy)
    sigma = objective.levels(energy, len(x), rng)
    noise = rng.normal_like(x)
    if _divided(state):
        loss, terms = denoising_loss(energy, division_of(state), objective, x, sigma, noise)
    else:
        loss, terms = objective(energy, x, sigma, noise)
        loss.backward()  # type: ignore[no-untyped-call]
    none, one = loss.new_zeros(()), loss.new_ones(())
    mean = terms.pop("energy")
    return loss, {
        **terms,
        "energy_pos": mean,
        "energy_neg": mean,
        "share_clipped": none,
        "share_at_clamp": none,
        "displacement": (sigma * noise.flatten(1).norm(dim=1)).mean(),
        "diversity": one,
        "finite_images": one,
    }


def division_of(state: TrainState) -> Division:
    """How updates of `state` are divided."""
    return Division(state.ranks, state.training.microbatch_size, state.training.gradient_compression)


def check_ranks(state: TrainState) -> None:
    """Check that an update has images for each rank. Raises: BadInput."""
    n = state.training.batch_size
    images, size = (n, DENOISING_PIECE) if isinstance(state.objective, DenoisingObjective) else (2 * n, PIECE)
    division_of(state).pieces(images, state.device, size)


def _divided(state: TrainState) -> bool:
    return state.ranks.joined or state.training.microbatch_size is not None


def noised(
    x: Tensor, sigma: float | Tensor, kernel: Kernel, rng: AnySource, *, clamp_margin: float | Tensor = 0.0
) -> Tensor:
    """Add Gaussian noise of standard deviation `sigma`, at most `clamp_margin` beyond the kernel's box."""
    if isinstance(sigma, float) and sigma == 0:
        return x
    x = x + sigma * source_of(rng).normal(tuple(x.shape), x.dtype)
    if kernel.clamp is None:
        return x
    (low, high), beyond = kernel.clamp, x.new_zeros(()) + clamp_margin
    return x.clamp(low - beyond, high + beyond)


def _smoothing(state: TrainState, draw: Draw) -> tuple[float | Tensor, float | Tensor]:
    """Noise that real images take, and how far it may lead beyond the box.

    With levels of noise, one for each step of a cycle, each real image has that of one chain.
    """
    if not isinstance(state.kernel, NoiseSchedule):
        return state.training.data_noise, clamp_margin_of(state.kernel)
    begun = torch.zeros(1, dtype=torch.int64, device=state.device) if draw.step_index is None else draw.step_index
    last = per_sample(begun + state.training.n_steps - 1, draw.x)
    return state.kernel.sigma(last), state.kernel.margin(last)


@torch.no_grad()
def _descend(state: TrainState, lr: float) -> None:
    """Adam on the weights, then the average follows: θ̄ ← θ̄ + (1 − β)(θ − θ̄)."""
    state.optimiser.step(lr)
    # A young average follows closely, so that the random initial weights are soon forgotten.
    decay = min(state.training.ema_decay, (1 + state.step) / (10 + state.step))
    for mean, now in zip(state.ema.parameters(), state.energy.parameters(), strict=True):
        mean.lerp_(now, 1 - decay)
    for kept, buffer in zip(state.ema.buffers(), state.energy.buffers(), strict=True):
        kept.copy_(buffer)


def _norm(energy: nn.Module) -> float:
    return torch.stack([p.detach().norm() for p in energy.parameters()]).norm().item()


def _spread(x: Tensor) -> Tensor:
    """Median distance between neighbours in the batch: of all pairs, nearly, and blind to the few fresh chains."""
    return (x[1:] - x[:-1]).flatten(1).norm(dim=1).median()


def _share_at_clamp(x_neg: Tensor, clean: Tensor, kernel: Kernel) -> Tensor:
    """Of the pixels that clean data leave off the ends of the clamp, the share that x_neg does not; at least 0."""
    if kernel.clamp is None:
        return x_neg.new_zeros(())
    low, high = kernel.clamp
    margin = 0.01 * (high - low)  # chains carry noise, and data fade to black
    neg, pos = (((x <= low + margin) | (x >= high - margin)).float().mean() for x in (x_neg, clean))
    return ((neg - pos) / (1 - pos).clamp_min(0.01)).clamp_min(0)
