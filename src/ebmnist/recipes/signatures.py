"""The schema of a recipe's section: the signature of what is made from it, with bounds on what would fill memory."""

import inspect
import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ebmnist.reading.schema import Schema, either, flag, list_of, number, one_of, optional, record, text, whole

# Upper bounds, by class and field, where a larger number would fill the memory or never end.
LARGEST: Mapping[str, int] = {
    "Basics.seed": 2**63 - 1,
    "ConvNet.width": 256,
    "ResNet.width": 256,
    "MLP.width": 1024,
    "MLP.depth": 32,
    "MLP.n_inputs": 100_000,
    "AnnealedLangevin.n_hold": 1_000_000,
    "AnnealedLangevin.n_anneal": 1_000_000,
    "ReplayBuffer.size": 1_000_000,
    "Training.batch_size": 1_000_000,
    "Generation.n_images": 10_000,
    "Guard.max_lr_decays": 100,
}
MANY = 10**12  # of anything else that is counted
SMALLEST, LARGE = 1e-30, 1e30  # magnitudes of numbers, so that squares and quotients of them are finite and not 0


@cache
def schema_of(cls: type) -> Schema:
    """Return the schema of the fields that `cls` is called with: their types, none of them needed, no others."""
    return record({}, fields_of(cls), closed=True)


def fields_of(cls: type) -> dict[str, Schema]:
    """Return the schema of each of them."""
    hints = get_type_hints(cls if is_dataclass(cls) else cls.__init__)  # type: ignore[misc]
    names = inspect.signature(cls).parameters
    return {name: _of_type(hints[name], LARGEST.get(f"{cls.__name__}.{name}", MANY)) for name in names}


def _of_type(hint: Any, largest: int) -> Schema:
    if hint in (int, float, bool, str, Path):
        scalars = {int: whole(-MANY, largest), float: real, bool: flag, str: text(1000), Path: text(4000)}
        return scalars[hint]
    if isinstance(hint, type) and is_dataclass(hint):
        return schema_of(hint)
    kind, args = get_origin(hint), get_args(hint)
    if kind is Literal:
        return one_of(*args)
    if kind in (types.UnionType, Union):
        schemas = [_of_type(arg, largest) for arg in args if arg is not type(None)]
        return optional(either(*schemas)) if type(None) in args else either(*schemas)
    if kind is tuple:
        length = None if args[-1] is Ellipsis else len(args)
        return list_of(_of_type(args[0], largest), 1000, length)
    raise TypeError(f"a recipe's field cannot be of type {hint}")


def real(value: Any) -> str | None:
    """A number of a magnitude that can be reckoned with, or 0."""
    if (wrong := number()(value)) is not None:
        return wrong
    fits = value == 0 or SMALLEST <= abs(value) <= LARGE
    return None if fits else f": expected 0 or a magnitude from {SMALLEST:g} to {LARGE:g}, not {value:g}"
