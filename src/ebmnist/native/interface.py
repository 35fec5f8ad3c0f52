"""The functions and structures of `engine.h`, as ctypes has to know them."""

import ctypes
from ctypes import c_char_p, c_double, c_float, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from typing import Any

ABI = 7

# Bits of what `processor` returns, and those that a variant needs.
_V3, _V4, _BF16, IS_AMD = 1, 2, 4, 8
NEEDS = {"x86-64-v3": _V3, "x86-64-v4": _V3 | _V4, "x86-64-v4-bf16": _V3 | _V4 | _BF16}


class Shape(ctypes.Structure):
    """Of one convolution."""

    _fields_ = [
        (n, c_int32)
        for n in ("c_in", "h_in", "w_in", "c_out", "h_out", "w_out", "kernel", "stride", "pad", "channels_last")
    ]


class Settings(ctypes.Structure):
    """Of a chain: `struct Langevin`."""

    _fields_ = [
        ("seed", c_uint64),
        ("stream", c_uint32),
        ("first_step", c_uint32),
        ("n_steps", c_int32),
        ("noise_first", c_int32),
        ("evaluations", c_int32),
        *((n, c_float) for n in ("clip", "clip_norm", "low", "high")),
    ]


_SHAPES, _SETTINGS = ctypes.POINTER(Shape), ctypes.POINTER(Settings)
_BUFFERS = ctypes.POINTER(c_void_p)

_QUESTIONS = {"abi": c_int32, "digest": c_char_p, "variant": c_char_p, "has_bf16": c_int32, "processor": c_uint32}
_WORK: dict[str, tuple[Any, ...]] = {  # all of them return a status
    "pack": (c_int32, c_int32, _SHAPES, _BUFFERS, _BUFFERS, c_void_p, c_double, c_double, c_double, c_double, c_void_p,
             _BUFFERS),
    "energy_and_grad": (c_void_p, c_void_p, c_int32, c_void_p, c_void_p, c_int32),
    "record": (c_void_p, c_void_p, c_int32, c_void_p, c_void_p, c_int32),
    "weight_grad": (c_void_p, c_void_p, c_int32, c_void_p, _BUFFERS, _BUFFERS, c_void_p, c_int32),
    "langevin_chain": (c_void_p, _SETTINGS, c_void_p, c_int32, *(c_void_p,) * 11, c_int32),
    "normals": (c_uint64, c_uint32, c_uint32, c_int32, c_void_p, c_int32, c_int32, c_void_p, c_int32),
    "words": (c_uint64, c_uint32, c_int32, c_void_p, c_void_p, c_int32, c_int32, c_void_p, c_int32),
    "philox": (c_void_p, c_int32, c_uint64, c_void_p),
}  # fmt: skip


def declare(functions: ctypes.CDLL) -> None:
    """Say what each function takes and returns; those that return a status raise for a bad one.

    Raises:
        AttributeError: the library lacks one.
    """
    for name, returns in _QUESTIONS.items():
        function = getattr(functions, name)
        function.argtypes, function.restype = (), returns
    for name, takes in _WORK.items():
        function = getattr(functions, name)
        function.argtypes, function.restype, function.errcheck = takes, c_int32, _checked
    for name in ("record_size", "turns"):
        function = getattr(functions, name)
        function.argtypes, function.restype = (c_void_p, c_int32), c_int64
    for name in ("release", "share_by"):
        function = getattr(functions, name)
        function.argtypes, function.restype = (c_void_p,), None


def _checked(status: int, function: Any, _: tuple[Any, ...]) -> None:
    if status == 1:
        raise ValueError(f"the compiled engine refused what {function.__name__} was given")
    if status == 2:
        raise MemoryError(f"the compiled engine had too little memory for {function.__name__}")
    if status:
        raise RuntimeError(f"the compiled engine failed in {function.__name__} (status {status})")
