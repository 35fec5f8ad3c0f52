"""An update whose chains and gradients are divided: over ranks, and into pieces that a rank computes one by one.

Every rank holds the whole state. It moves its share of the chains, and differentiates its share of the loss. What is
left of an update, each rank does on the same numbers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ebmnist.energies.freezing import unmoved
from ebmnist.energies.levels import NoiseConditioned
from ebmnist.errors import BadInput
from ebmnist.random import Stream
from ebmnist.sampling.base import Draw, Kernel
from ebmnist.sampling.chain import run_chain
from ebmnist.training.base import DenoisingObjective
from ebmnist.training.division import DENOISING_PIECE, PIECE, Division, cut
from ebmnist.training.gradients import WeightGradient


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
    rows = []
    for these in cut(ranks.share(n), division.microbatch_size or n):
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

    images: list[Tensor]  # this rank's, by pieces
    energies: list[Tensor]  # theirs, (len(piece),) each; with a graph to the weights, unless there are microbatches
    values: Tensor  # (B,), of all ranks, a leaf
    mine: slice  # which of them are this rank's
    n_pieces: int  # of all ranks
    buffers: list[Tensor]  # the module's, as the call left them; none where graphs are kept


class DividedEnergy:
    """E(x) of a batch, each rank its share, for an objective to make a loss of; then the loss's weight gradient.

    Energies are those that one process would compute, and so is the loss. Its weight gradient is Σ ∂L/∂Eᵢ · ∂Eᵢ/∂θ,
    each rank's share of the sum by pieces, and then over ranks (`WeightGradient`).
    With microbatches no graph is kept while the loss is made. Each piece is then computed once more, differentiated,
    and given up (gradient accumulation).

    Args:
        energy: the module to train.
        division: how the batch is divided.
    """

    def __init__(self, energy: nn.Module, division: Division) -> None:
        self._energy = energy
        self._division = division
        self._again = division.microbatch_size is not None
        self._calls: list[_Call] = []

    def __call__(self, x: Tensor) -> Tensor:
        """Return E(x), (B,), whose gradient `backward` sends on to the weights.

        Raises:
            BadInput: more ranks than pieces, or an objective that differentiates in x.
            RankLost: another rank has ended.
        """
        if x.requires_grad:
            raise BadInput(
                "this objective differentiates the energy in x, which is not divided: "
                "train in one process, with training.microbatch_size null"
            )
        ranks = self._division.ranks
        shares = self._division.pieces(len(x), x.device, PIECE)
        images = [x[rows] for rows in shares[ranks.rank]]
        with unmoved(self._energy):  # computed as it will be again, for the same bits, though no graph is kept
            energies = [self._energy(piece).detach() if self._again else self._energy(piece) for piece in images]
        counts = [sum(rows.stop - rows.start for rows in share) for share in shares]
        values = ranks.gathered(torch.cat(energies).detach(), counts).requires_grad_()
        first = sum(counts[: ranks.rank])
        mine, n_pieces = slice(first, first + counts[ranks.rank]), sum(map(len, shares))
        buffers = [buffer.clone() for buffer in self._energy.buffers()] if self._again else []
        self._calls.append(_Call(images, energies, values, mine, n_pieces, buffers))
        return values

    def backward(self, loss: Tensor) -> None:
        """Leave ∂L/∂θ in the weights' `grad`, the same on every rank.

        Raises:
            RankLost: another rank has ended.
            BadInput: the ranks' weights are no longer the same, or an energy that is random has microbatches.
        """
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = WeightGradient(self._energy, self._division.ranks, compressed=self._division.compressed)
        used = [call for call in self._calls if call.values.grad is not None]
        for call in used:
            assert call.values.grad is not None
            slopes = torch.split(call.values.grad[call.mine], [len(piece) for piece in call.images])
            with _as_left(self._energy, call.buffers), unmoved(self._energy):
                for images, energies, slope in zip(call.images, call.energies, slopes, strict=True):
                    # What is computed again has no name, so that its graph goes before the next one comes.
                    gradient.add(self._once_more(images, energies) if self._again else energies, slope)
        gradient.leave(sum(call.n_pieces for call in used))

    def _once_more(self, images: Tensor, before: Tensor) -> Tensor:
        """Energies with a graph to the weights, of images whose energies were computed without."""
        energies: Tensor = self._energy(images)
        tolerance = 0.0 if images.device.type == "cpu" else 1e-3 * float(before.abs().max())
        if not torch.allclose(energies.detach(), before, rtol=0.0, atol=tolerance, equal_nan=True):
            raise BadInput(
                "this energy gives other values when it is computed again, as with dropout or weights that move at "
                "each call: set training.microbatch_size to null"
            )
        return energies


def denoising_loss(
    energy: NoiseConditioned,
    division: Division,
    objective: DenoisingObjective,
    x: Tensor,
    sigma: Tensor,
    noise: Tensor,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss and terms of a denoising objective, each rank its share, and leave ∂L/∂θ in the weights' `grad`.

    Such a loss is a mean over images. So pieces need nothing of each other, and each is differentiated right away.

    Raises:
        BadInput: more ranks than pieces, or the ranks' weights are no longer the same.
        RankLost: another rank has ended.
    """
    assert isinstance(energy, nn.Module)
    ranks, n = division.ranks, len(x)
    shares = division.pieces(n, x.device, DENOISING_PIECE)
    gradient = WeightGradient(energy, ranks, compressed=division.compressed)

    def differentiated(rows: slice) -> Tensor:
        """What is seen of a piece, (4,); no graph is left when the next one comes."""
        loss, terms = objective(energy, x[rows], sigma[rows], noise[rows])
        gradient.add(loss, loss.new_tensor((rows.stop - rows.start) / n))
        return torch.stack([loss.detach(), terms["energy"], terms["grad_norm"], terms["energy_max"]])

    with unmoved(energy):
        seen = torch.stack([differentiated(rows) for rows in shares[ranks.rank]])
    gradient.leave(sum(map(len, shares)))
    seen = ranks.gathered(seen, [len(share) for share in shares])  # (pieces, 4)
    part = seen.new_tensor([(rows.stop - rows.start) / n for share in shares for rows in share])
    loss, mean, grad_norm = (seen[:, :3] * part[:, None]).sum(0)
    return loss, {"energy": mean, "energy_max": seen[:, 3].max(), "grad_norm": grad_norm}


@contextmanager
def _as_left(energy: nn.Module, buffers: Sequence[Tensor]) -> Iterator[None]:
    """Let a module have the buffers that a call had left, and nothing of what it does to them; none: do nothing.

    The vectors of a power iteration are among them, so that a weight is divided by the same number as in that call.
    """
    lists = [m for m in energy.modules() if isinstance(m, parametrize.ParametrizationList)] if buffers else []
    moving = [m for of in lists for m in of.modules() if m.training]
    now = [buffer.clone() for buffer in energy.buffers()] if buffers else []
    _set_buffers(energy, buffers)
    for module in moving:
        module.training = False  # of this one alone, for `eval` would reach others
    try:
        yield
    finally:
        for module in moving:
            module.training = True
        _set_buffers(energy, now)


@torch.no_grad()
def _set_buffers(energy: nn.Module, values: Sequence[Tensor]) -> None:
    for buffer, value in zip(energy.buffers(), values, strict=bool(values)):
        buffer.copy_(value)
