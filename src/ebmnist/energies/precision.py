"""The number format a network computes in: float32, or bfloat16 where the processor multiplies it faster."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch

from ebmnist.errors import BadInput
from ebmnist.native import bf16_is_fast, library

Precision = Literal["auto", "fp32", "bf16"]


def known(precision: Precision) -> Precision:
    """Return `precision`. Raises `BadInput` for one that is not of the three."""
    if precision not in get_args(Precision):
        raise BadInput(f"precision {precision!r} is unknown: use one of {', '.join(get_args(Precision))}")
    return precision


def uses_bf16(precision: Precision, device: torch.device, *, low_precision: bool) -> bool:
    """Whether `precision` means bfloat16 on this device.

    `auto` takes it for gradients of the weights on processors with AMX tiles. With AVX-512 alone
    bfloat16 convolutions are slower than float32 ones; on a GPU the update of a small network, which waits for its
    kernels to be launched, is slower by the casts (both measured, docs/log.md).
    """
    if precision != "auto":
        return precision == "bf16"
    # torch offers no public question for AMX; the attribute may move between versions.
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return low_precision and device.type == "cpu" and has_amx is not None and bool(has_amx())


@contextmanager
def computing_in(precision: Precision, device: torch.device, *, low_precision: bool) -> Iterator[None]:
    """Autocast to bfloat16 where `precision` says so; weights, energies and gradients stay float32.

    Without `low_precision`, results are read as numbers: energies, and slopes in `x`.
    """
    full = nullcontext() if low_precision else in_full(device)
    with (
        torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(precision, device, low_precision=low_precision)),
        full,
    ):
        yield


@contextmanager
def in_full(device: torch.device) -> Iterator[None]:
    """float32 convolutions in full: on a GPU torch has their factors rounded to ten bits (TF32) if nothing is said.

    The switch is torch's, one for the whole process; products of linear layers follow its other one, which is off.
    """
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    # Since torch 2.9 convolutions have a switch of their own, and the old one is not to be touched beside it.
    where, name, full = (
        (cudnn.conv, "fp32_precision", "ieee") if hasattr(cudnn, "conv") else (cudnn, "allow_tf32", False)
    )
    before = getattr(where, name)
    setattr(where, name, full)
    try:
        yield
    finally:
        setattr(where, name, before)


def native_bf16(precision: Precision, *, low_precision: bool) -> bool | None:
    """Whether the C++ of `native/` multiplies in bfloat16; None where it cannot as `precision` asks.

    `auto` takes it for chains and weight gradients, where the processor gains by it. Energies that are read as
    numbers are in float32, for differences of 1e-6 matter at T = 1e-6.
    """
    if precision == "bf16":
        functions = library()
        return True if functions is not None and functions.has_bf16() else None
    return precision == "auto" and low_precision and bf16_is_fast()
