"""The grammar of a room: a registry's key is its file's name, and what stands there is documented with its equation."""

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from types import ModuleType

import pytest
from torch import nn

from ebmnist import energies, sampling
from ebmnist.sampling import start
from ebmnist.training import objectives

ROOMS = [energies, sampling, start, objectives]
REGISTERED = [pytest.param(room, key, id=f"{room.__name__}.{key}") for room in ROOMS for key in room.REGISTRY]
EQUATION_OR_SOURCE = re.compile(r"[=~←↦−∝]|E\(x\)|\b(19|20)\d\d\b")


def methods_of(cls: type) -> Iterator[tuple[str, object]]:
    return ((n, f) for n, f in inspect.getmembers(cls, inspect.isfunction) if not n.startswith("_"))


@pytest.mark.parametrize(("room", "key"), REGISTERED)
def test_key_is_file_name(room: ModuleType, key: str):
    cls = room.REGISTRY[key]
    assert cls.__module__ == f"{room.__name__}.{key}"
    assert cls.__name__ in room.__all__
    assert getattr(room, cls.__name__) is cls


@pytest.mark.parametrize(("room", "key"), REGISTERED)
def test_it_says_what_it_computes_and_from_where(room: ModuleType, key: str):
    cls = room.REGISTRY[key]
    file = importlib.import_module(cls.__module__)
    assert file.__doc__
    assert cls.__doc__
    assert EQUATION_OR_SOURCE.search(cls.__doc__)
    for name, method in methods_of(cls):
        if method.__module__.startswith("ebmnist"):
            assert method.__doc__, name


@pytest.mark.parametrize(("room", "key"), REGISTERED)
def test_numbers_are_frozen_and_networks_are_modules(room: ModuleType, key: str):
    cls = room.REGISTRY[key]
    if room is energies:
        assert issubclass(cls, nn.Module)
    elif room is not start:  # a start may remember: it is one of the two places where state lives
        assert dataclasses.is_dataclass(cls)
        assert cls.__dataclass_params__.frozen


@pytest.mark.parametrize(("room", "key"), REGISTERED)
def test_every_field_has_a_default(room: ModuleType, key: str):
    """So that a recipe may name the kind alone, and these tests can make one."""
    assert isinstance(room.REGISTRY[key](), room.REGISTRY[key])


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_a_room_says_in_one_sentence_what_it_is(room: ModuleType):
    assert EQUATION_OR_SOURCE.search(room.__doc__) or "(" in room.__doc__
    assert "\n" not in room.__doc__.strip()
    assert all(hasattr(room, name) for name in room.__all__)
    assert "REGISTRY" in room.__all__
