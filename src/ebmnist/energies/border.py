"""What a loaded energy refuses: images of another shape, type or scale, each in one line that names the mend."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from ebmnist.energies.fast import followed
from ebmnist.errors import BadInput

SIDE = 28
SHAPE = (1, SIDE, SIDE)


def check_form(x: object, weights: Sequence[Tensor]) -> None:
    """Check that `x` are images as an energy reads them: (B, 1, 28, 28), of its weights' type and on their device.

    Args:
        x: what somebody gave.
        weights: the energy's.

    Raises:
        BadInput: they are not, or the weights are not all of one type and device.
    """
    if not isinstance(x, Tensor):
        raise BadInput(f"E(x): x must be a torch tensor, not {type(x).__name__}; give torch.as_tensor(x)")
    if x.is_nested or x.layout != torch.strided:
        raise BadInput("E(x): images must be a dense tensor; give x.to_dense(), or torch.stack of single images")
    if x.shape[1:] != SHAPE or x.dim() != 4:
        raise BadInput(f"E(x): images must be (B, 1, 28, 28), not {tuple(x.shape)}; {_shape_mend(tuple(x.shape))}")
    kinds = sorted({f"{_name(w.dtype)} on {w.device}" for w in weights})
    if len(kinds) > 1:
        raise BadInput(f"E(x): weights are {' and '.join(kinds)}; bring all to one, as energy.to('cpu', torch.float32)")
    weight = weights[0]
    if x.dtype != weight.dtype:
        raise BadInput(f"E(x): images are {_name(x.dtype)} and weights {_name(weight.dtype)}; {_type_mend(x, weight)}")
    if x.device != weight.device:
        at = str(weight.device)
        raise BadInput(f"E(x): images are on {x.device} and weights on {at}; give x.to({at!r})")


def check_scale(x: Tensor, *, box: tuple[float, float] | None, walls: Collection[float] = ()) -> None:
    """Check that images are on [0, 1] but for noise, as far as their values can be read.

    Args:
        x: (B, 1, 28, 28).
        box: the range beyond which no noise leads, so that values there are on another scale; None for no range.
        walls: where the kernel's chains are clamped, so that many pixels may stand there.

    Raises:
        BadInput: they are not.
    """
    read = type(x).__torch_dispatch__ is Tensor.__torch_dispatch__ and x.device.type != "meta" and not followed()
    if read and x.numel():  # fake and meta tensors have no values
        with torch.no_grad():
            _check_scale(x.detach(), box, walls)


def _check_scale(x: Tensor, box: tuple[float, float] | None, walls: Collection[float]) -> None:
    low, high = (float(v) for v in x.aminmax())
    if low >= 0 and high <= 1:
        return
    if box is not None and (low < box[0] or high > box[1]):
        said = f"E(x): values from {low:.4g} to {high:.4g} are no images on [0, 1]"
        raise BadInput(f"{said}; give x / 255 if they are 0 … 255")
    pixels = x.flatten(1)
    median = pixels.median(1, keepdim=True).values  # a value of more than half of the pixels is the median
    odd = ((median < 0) | (median > 1)) & ((pixels == median).float().mean(1, keepdim=True) > 0.5)
    for value in set(median[odd].tolist()):
        if not any(abs(value - wall) < 1e-4 for wall in walls):
            mend = "(x + 1) / 2" if value == -1 else "x · std + mean"
            scale = "[−1, 1]" if value == -1 else "less their mean and divided by a standard deviation"
            raise BadInput(f"E(x): most pixels are {value:.4g}: images on [0, 1] are wanted, not {scale}; give {mend}")


def _shape_mend(shape: tuple[int, ...]) -> str:
    if shape == (SIDE, SIDE):
        return "give x[None, None]"
    if len(shape) == 3 and shape[1:] == (SIDE, SIDE):
        return "give x[:, None]"
    if shape and shape[-1] == SIDE**2 and len(shape) <= 2:
        return "give x.reshape(-1, 1, 28, 28)"
    if len(shape) == 4 and shape[1:] == (SIDE, SIDE, 1):
        return "give x.permute(0, 3, 1, 2)"
    if len(shape) == 4 and shape[2:] == (SIDE, SIDE):
        return "give one channel, x.mean(1, keepdim=True)"
    if len(shape) == 4 and shape[1:] == (1, 32, 32):
        return "give x[..., 2:30, 2:30] if a border of 2 pixels was added"
    return "give grey images of 28 by 28 pixels"


def _type_mend(x: Tensor, weight: Tensor) -> str:
    if x.dtype == torch.bool:
        return f"give x.to({weight.dtype})"
    if x.is_complex():
        return "give x.real"
    if not x.is_floating_point():
        return f"give x.to({weight.dtype}) / 255 if they are 0 … 255"
    return f"give x.to({weight.dtype}), or use copy.deepcopy(energy).to({x.dtype})"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
