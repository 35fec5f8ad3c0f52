"""The conventions of a package: a registry key is its file name, and each entry is documented with its equation."""

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

PACKAGES = [energies, sampling, start, objectives]
REGISTERED = [
    pytest.param(package, key, id=f"{package.__name__}.{key}") for package in PACKAGES for key in package.REGISTRY
]
EQUATION_OR_SOURCE = re.compile(r"[=~←↦−∝]|E\(x\)|\b(19|20)\d\d\b")


def methods_of(cls: type) -> Iterator[tuple[str, object]]:
    return ((n, f) for n, f in inspect.getmembers(cls, inspect.isfunction) if not n.startswith("_"))


@pytest.mark.parametrize(("package", "key"), REGISTERED)
def test_key_is_file_name(package: ModuleType, key: str):
    cls = package.REGISTRY[key]
    assert cls.__module__ == f"{package.__name__}.{key}"
    assert cls.__name__ in package.__all__
    assert getattr(package, cls.__name__) is cls


@pytest.mark.parametrize(("package", "key"), REGISTERED)
def test_it_says_what_it_computes_and_from_where(package: ModuleType, key: str):
    cls = package.REGISTRY[key]
    file = importlib.import_module(cls.__module__)
    assert file.__doc__
    assert cls.__doc__
    assert EQUATION_OR_SOURCE.search(cls.__doc__)
    for name, method in methods_of(cls):
        if method.__module__.startswith("ebmnist"):
            assert method.__doc__, name


@pytest.mark.parametrize(("package", "key"), REGISTERED)
def test_numbers_are_frozen_and_networks_are_modules(package: ModuleType, key: str):
    cls = package.REGISTRY[key]
    if package is energies:
        assert issubclass(cls, nn.Module)
    elif package is not start:  # a start may remember: it is one of the two places where state lives
        assert dataclasses.is_dataclass(cls)
        assert cls.__dataclass_params__.frozen


@pytest.mark.parametrize(("package", "key"), REGISTERED)
def test_every_field_has_a_default(package: ModuleType, key: str):
    """So that a recipe may name the kind alone, and these tests can make one."""
    assert isinstance(package.REGISTRY[key](), package.REGISTRY[key])


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_a_room_says_in_one_sentence_what_it_is(package: ModuleType):
    assert EQUATION_OR_SOURCE.search(package.__doc__) or "(" in package.__doc__
    assert "\n" not in package.__doc__.strip()
    assert all(hasattr(package, name) for name in package.__all__)
    assert "REGISTRY" in package.__all__
