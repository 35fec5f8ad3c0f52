"""Tensors that the C++ may read and write: their kind and size checked, then their address."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ebmnist.errors import BadInput


def given(functions: ctypes.CDLL | None) -> ctypes.CDLL:
    """Return the library, which has to be there: callers ask `library()` first."""
    assert functions is not None, "ask library() first"
    return functions


def floats(
    name: str, t: Tensor, shape: tuple[int, ...], memory_format: torch.memory_format = torch.contiguous_format
) -> Tensor:
    """Return `t` in one piece, row-major or as asked.

    Raises:
        BadInput: it is not float32 on the CPU, or of another shape.
    """
    if t.dtype != torch.float32 or t.device.type != "cpu" or t.layout != torch.strided or t.shape != shape:
        raise BadInput(
            f"{name} must be float32 on the CPU of shape {shape}, not {t.dtype} on {t.device} of {tuple(t.shape)}"
        )
    plain = (t.detach() if t.requires_grad else t).contiguous(memory_format=memory_format)
    return plain.resolve_neg() if plain.is_neg() else plain


def empty(*shape: int, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    """Float32 on the CPU, whatever this program's defaults are."""
    return torch.empty(shape, dtype=torch.float32, device="cpu", memory_format=memory_format)


def check_range(name: str, value: int, end: int) -> None:
    """Raises `BadInput` for what is no whole number from 0 to end − 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < end:
        raise BadInput(f"{name} must be a whole number from 0 to {end - 1}, not {value!r}")


def address(t: Tensor | None) -> ctypes.c_void_p | None:
    """Where a tensor's numbers begin, null for none; the caller keeps the tensor as long as the C++ uses it."""
    return None if t is None else ctypes.c_void_p(t.data_ptr())


def addresses(tensors: Sequence[Tensor]) -> Any:
    """Return the addresses of several, as an array."""
    return (ctypes.c_void_p * len(tensors))(*(t.data_ptr() for t in tensors))
