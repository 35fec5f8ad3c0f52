"""An update whose chains and gradients are divided: over ranks, and into parts that a rank computes one by one.

Every rank holds the whole state. It moves its share of the chains, and differentiates its share of the loss. What is
left of an update, each rank does on the same numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ebmnist.energies.freezing import unmoved
from ebmnist.energies.levels import NoiseConditioned
from ebmnist.errors import BadInput
from ebmnist.random import Stream
from ebmnist.ranks import Ranks
from ebmnist.sampling.base import Draw, Kernel
from ebmnist.sampling.chain import run_chain
from ebmnist.training.base import DenoisingObjective
from ebmnist.training.gradients import leave_grad, weight_grad, weights_of

# Images whose weight gradients are summed in float32, on a CPU, to be one summand of the fixed sum. The C++ takes
# longer for smaller parts (docs/how-to/scale.md).
PART = 64
DENOISING_PART = 8  # the same where an objective differentiates in x, which takes more memory and time an image


class Division(NamedTuple):
    """How an update is divided."""

    ranks: Ranks
    microbatch_size: int | None = None
    """The most images that a rank differentiates at a time; None for all that it has."""
    compressed: bool = False
    """Whether ranks send each other gradients of fewer bits."""

    def part(self, n: int, device: torch.device, least: int) -> int:
        """How many of n images are one summand of the gradient: on a CPU `least`, whatever the number of ranks."""
        if device.type == "cpu":
            return least
        share = -(-n // self.ranks.size)  # a GPU is slow with small parts
        return share if self.microbatch_size is None else min(share, self.microbatch_size)


class Moved(NamedTuple):
    """Where chains ended, and what their last step saw."""

    x: Tensor  # (B, *shape)
    grad_norm: Tensor  # (B,), ‖∂E/∂x‖₂ before clipping
    share_clipped: Tensor  # (B,), share of the gradient's components that were clipped


def move(
    division: Division, energy: nn.Module, kernel: Kernel, draw: Draw, n_steps: int, *, rng: Stream, first_step: int
) -> Moved:
    """Move the chains of `draw` as `run_chain` does, each rank its share of them. Raises: RankLost."""
    ranks, n = division.ranks, len(draw.x)
    slots = torch.arange(n, device=draw.x.device) if draw.slots is None else draw.slots
    mine = ranks.share(n)
    at_once = division.microbatch_size or n
    rows = []
    for first in range(mine.start, mine.stop, at_once):
        these = slice(first, min(first + at_once, mine.stop))
        chain = run_chain(
            energy,
            kernel,
            draw.x[these],
            n_steps,
            rng=rng,
            chains=slots[these],
            first_step=first_step,
            step_index=None if draw.step_index is None else draw.step_index[these],
        )
        assert chain.last is not None
        rows.append(Moved(chain.x, chain.last.grad_norm, chain.last.share_clipped))
    seen = rows[0] if len(rows) == 1 else Moved(*map(torch.cat, zip(*rows, strict=True)))
    if ranks.size == 1:
        return seen
    sent = torch.cat([seen.x.flatten(1), seen.grad_norm[:, None], seen.share_clipped[:, None]], 1)
    sent = ranks.gathered(sent, ranks.shares(n))
    # Laid out in memory as one process has them: the rounding of a mean depends on it.
    x, grad_norm, share_clipped = (t.contiguous() for t in (sent[:, :-2], sent[:, -2], sent[:, -1]))
    return Moved(x.view(draw.x.shape), grad_norm, share_clipped)


class _Call(NamedTuple):
    """What a divided energy was asked for, and gave."""

    parts: tuple[Tensor, ...]  # this rank's images
    energies: list[Tensor]  # theirs, (len(part),) each; with a graph to the weights, unless microbatches are asked for
    values: Tensor  # (B,), of all ranks, a leaf
    mine: slice  # which of them are this rank's


class DividedEnergy:
    """E(x) of a batch, each rank its share, for an objective to make a loss of; then the loss's weight gradient.

    Energies are those that one process would compute, and so is the loss. Its weight gradient is Σ ∂L/∂Eᵢ · ∂Eᵢ/∂θ. It
    is summed within parts of `PART` images, and parts by `fixed_sum`: on a CPU all ranks have the same bits, whatever
    their number. On a GPU, where small parts are slow, a rank's share is one part.
    With microbatches no part's graph is kept while the loss is made. Each is then computed once more, differentiated,
    and given up (gradient accumulation).

    Args:
        energy: the module to train.
        division: how the batch is divided.
    """

    def __init__(self, energy: nn.Module, division: Division) -> None:
        self._energy = energy
        self._division = division
        self._calls: list[_Call] = []

    def __call__(self, x: Tensor) -> Tensor:
        """Return E(x), (B,), whose gradient `backward` sends on to the weights.

        Raises:
            BadInput: more ranks than parts, or an objective that differentiates in x.
            RankLost: another rank has ended.
        """
        if x.requires_grad:
            raise BadInput(
                "this objective differentiates the energy in x, which is not divided: "
                "train in one process, with training.microbatch_size null"
            )
        ranks = self._division.ranks
        parts = torch.split(x, self._division.part(len(x), x.device, PART))
        _check_parts(ranks, len(parts))
        own = parts[ranks.share(len(parts))]
        again = self._division.microbatch_size is not None
        with unmoved(self._energy):  # computed as it will be again, for the same bits, though no graph is kept
            energies = [self._energy(part).detach() if again else self._energy(part) for part in own]
        counts = [sum(map(len, parts[ranks.share(len(parts), rank)])) for rank in range(ranks.size)]
        values = ranks.gathered(torch.cat(energies).detach(), counts).requires_grad_()
        first = sum(counts[: ranks.rank])
        self._calls.append(_Call(own, energies, values, slice(first, first + counts[ranks.rank])))
        return values

    def backward(self, loss: Tensor) -> None:
        """Leave ∂L/∂θ in the weights' `grad`, the same on every rank.

        Raises:
            RankLost: another rank has ended.
            BadInput: the ranks' weights are no longer the same, or an energy that is random.
        """
        loss.backward()  # type: ignore[no-untyped-call]
        weights = weights_of(self._energy)
        again, summands = self._division.microbatch_size is not None, []
        for call in self._calls:
            if call.values.grad is not None:
                slopes = torch.split(call.values.grad[call.mine], [len(part) for part in call.parts])
                for part, energies, slope in zip(call.parts, call.energies, slopes, strict=True):
                    # What is computed again has no name, so that its graph goes before the next one comes.
                    summands.append(
                        weight_grad(_again(self._energy, part, energies) if again else energies, weights, slope)
                    )
        leave_grad(self._energy, self._division.ranks, summands, compressed=self._division.compressed)


def denoising_loss(
    energy: NoiseConditioned,
    division: Division,
    objective: DenoisingObjective,
    x: Tensor,
    sigma: Tensor,
    noise: Tensor,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss and terms of a denoising objective, each rank its share, and leave ∂L/∂θ in the weights' `grad`.

    A loss of this kind is a mean over images. So parts need nothing of each other. Sums are those of `DividedEnergy`.

    Raises:
        BadInput: more ranks than parts, or the ranks' weights are no longer the same.
        RankLost: another rank has ended.
    """
    assert isinstance(energy, nn.Module)
    ranks, size = division.ranks, division.part(len(x), x.device, DENOISING_PART)
    parts = list(zip(*(torch.split(t, size) for t in (x, sigma, noise)), strict=True))
    _check_parts(ranks, len(parts))
    weights = weights_of(energy)

    def differentiated(images: Tensor, sigma: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient, and what is seen; no graph is left when the next part comes."""
        loss, terms = objective(energy, images, sigma, noise)
        seen = torch.stack([loss.detach(), terms["energy"], terms["grad_norm"], terms["energy_max"]])
        return weight_grad(loss, weights, loss.new_tensor(len(images) / len(x))), seen

    with unmoved(energy):
        summands, seen = zip(*(differentiated(*part) for part in parts[ranks.share(len(parts))]), strict=True)
    leave_grad(energy, ranks, summands, compressed=division.compressed)
    every = ranks.gathered(torch.stack(seen), ranks.shares(len(parts)))  # (parts, 4)
    shares = every.new_tensor([len(part[0]) / len(x) for part in parts])
    loss, mean, grad_norm = (every[:, :3] * shares[:, None]).sum(0)
    return loss, {"energy": mean, "energy_max": every[:, 3].max(), "grad_norm": grad_norm}


def check_ranks(ranks: Ranks, batch_size: int, *, denoising: bool = False) -> None:
    """Check that each rank will have images to differentiate. Raises: BadInput."""
    images, part = (batch_size, DENOISING_PART) if denoising else (2 * batch_size, PART)
    n_parts, least = -(-images // part), ranks.size * part * batch_size // images
    if n_parts < ranks.size:
        what = "noisy images" if denoising else "data and chains together"
        raise BadInput(
            f"{ranks.size} ranks: an update has {n_parts} parts of {part} images, {what}; start at "
            f"most {n_parts} ranks, or set training.batch_size to at least {least}"
        )


def _check_parts(ranks: Ranks, n_parts: int) -> None:
    if n_parts < ranks.size:
        raise BadInput(f"{ranks.size} ranks: this objective has {n_parts} parts for them; start at most {n_parts}")


def _again(energy: nn.Module, part: Tensor, before: Tensor) -> Tensor:
    """The energies of a part once more, with a graph to the weights."""
    with unmoved(energy), _settled(energy):
        energies: Tensor = energy(part)
    if not torch.allclose(energies.detach(), before, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise BadInput(
            "this energy gives other values when it is computed again, as with dropout: "
            "set training.microbatch_size to null"
        )
    return energies


@contextmanager
def _settled(energy: nn.Module) -> Iterator[None]:
    """Leave the power iterations of spectral normalisation where they are."""
    moving = [m for m in energy.modules() if isinstance(m, parametrize.ParametrizationList) and m.training]
    for module in moving:
        module.eval()
    try:
        yield
    finally:
        for module in moving:
            module.train()
