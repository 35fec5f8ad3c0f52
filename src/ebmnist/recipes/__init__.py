"""Recipes as files: one named experiment per YAML file in this folder; its sections are the packages."""

import os
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from ebmnist.errors import BadInput
from ebmnist.reading import read_bytes
from ebmnist.recipes.plain import LARGEST, load_yaml

LONGEST_CHAIN = 10  # recipes, each of which extends the next
SUFFIXES = (".yaml", ".yml")  # of a path; what ends otherwise is a name


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(p.name.removesuffix(".yaml") for p in files(__package__).iterdir() if p.name.endswith(".yaml"))


def read_recipe(name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a recipe, by name or by path, on top of those of the recipe it extends.

    A path in `extends` is seen from the folder of the file that says it.

    Raises:
        BadInput: no such recipe, not YAML, or a circle of `extends`.
    """
    if name in seen or len(seen) == LONGEST_CHAIN:
        fault = "extends itself" if name in seen else f"ends a chain of over {LONGEST_CHAIN} that extend one another"
        raise BadInput(f"recipe {name}: {fault} by way of {' → '.join(seen)}; end it with one that extends none")
    path = _find(name)
    try:
        fields = load_yaml(read_bytes(path, LARGEST).decode())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"recipe {name}: not readable as YAML: {' '.join(str(error).split())[:500]}") from error
    if not isinstance(fields, dict):
        raise BadInput(f"recipe {name}: expected sections such as 'training:', found {_kind_of(fields)}")
    parent = fields.pop("extends", None)
    if not isinstance(parent, str | None):
        raise BadInput(f"recipe {name}: extends: expected the name or path of a recipe, not a {type(parent).__name__}")
    if parent is None:
        return fields
    return merge(read_recipe(_beside(path, parent), (*seen, name)), fields)


def _beside(path: Traversable, parent: str) -> str:
    """Return what the recipe in the file `path` extends, as it is named from the working directory."""
    if not isinstance(path, Path) or not parent.endswith(SUFFIXES) or parent.startswith("~"):
        return parent
    return os.path.normpath(path.parent / parent)


def _kind_of(fields: Any) -> str:
    return "nothing: it is empty" if fields is None else f"a {type(fields).__name__}"


def _find(name: str) -> Traversable:
    """Return a recipe's file. Raises: BadInput if there is none."""
    try:
        is_path = name.endswith(SUFFIXES)
        path: Traversable = Path(name).expanduser() if is_path else files(__package__) / f"{name}.yaml"
        found = path.is_file()
    except (OSError, RuntimeError):  # too long a name; a home folder that is not known
        found = False
    if not found:
        known = ", ".join(recipe_names())
        raise BadInput(f"recipe {name[:200]!r} not found: use a path to a .yaml file, or one of {known}")
    return path


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay `above` over `below`, section by section; a section of another `kind` replaces the one below whole.

    >>> merge({"a": {"kind": "x", "p": 1}, "b": {"q": 2}}, {"a": {"kind": "y"}, "b": {"r": 3}})
    {'a': {'kind': 'y'}, 'b': {'q': 2, 'r': 3}}
    """
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        out[key] = merge(old, value) if both and value.get("kind") in (None, old.get("kind")) else value  # type: ignore
    return out
