"""The number format a network computes in: float32, or bfloat16 where the processor multiplies it faster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch

from ebmnist.errors import BadInput
from ebmnist.native import bf16_is_fast, library

Precision = Literal["auto", "fp32", "bf16"]


def known(precision: Precision) -> Precision:
    """Return `precision`. Raises `BadInput` for one that is not of the three."""
    if precision not in get_args(Precision):
        raise BadInput(f"precision {precision!r} is unknown: use one of {', '.join(get_args(Precision))}")
    return precision


def uses_bf16(precision: Precision, device: torch.device, *, rough: bool) -> bool:
    """Whether `precision` means bfloat16 on this device.

    `auto` takes it where it is rough, on processors with AMX tiles. AVX-512 alone is not enough, and on a GPU a small
    network waits for its kernels' launches and gets the casts on top: slower than float32 in both (docs/log.md).
    """
    if precision != "auto":
        return precision == "bf16"
    # torch offers no public question for AMX; the attribute may move between versions.
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return rough and device.type == "cpu" and has_amx is not None and bool(has_amx())


@contextmanager
def computing_in(precision: Precision, device: torch.device, *, rough: bool) -> Iterator[None]:
    """Autocast to bfloat16 where `precision` says so; weights, energies and gradients stay float32.

    `rough` is for the weights' gradients; energies and slopes that are read as numbers are not rough.
    """
    with torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(precision, device, rough=rough)):
        if rough:
            yield
        else:
            with in_full(device):
                yield


@contextmanager
def in_full(device: torch.device) -> Iterator[None]:
    """float32 convolutions in full: on a GPU torch has their factors rounded to ten bits (TF32) if nothing is said."""
    if device.type != "cuda":
        yield
        return
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


def native_bf16(precision: Precision, *, rough: bool) -> bool | None:
    """Whether the C++ of `native/` multiplies in bfloat16; None where it cannot as `precision` asks.

    `auto` takes it for what is rough, chains and weight gradients, where the processor gains by it; energies that are
    read as numbers are in float32, for differences of 1e-6 matter at T = 1e-6.
    """
    if precision == "bf16":
        functions = library()
        return True if functions is not None and functions.has_bf16() else None
    return precision == "auto" and rough and bf16_is_fast()
