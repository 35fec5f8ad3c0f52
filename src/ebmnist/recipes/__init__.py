"""Recipes as files: one named experiment per YAML file in this folder; its sections are the rooms."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from ebmnist.errors import BadInput


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(p.name.removesuffix(".yaml") for p in files(__package__).iterdir() if p.name.endswith(".yaml"))


def read_recipe(name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a recipe, by name or by path, on top of those of the recipe it extends.

    Raises:
        BadInput: no such recipe, not YAML, or a circle of `extends`.
    """
    if name in seen:
        raise BadInput(f"recipe {name}: extends itself by way of {' → '.join(seen)}")
    is_path = name.endswith((".yaml", ".yml"))
    path: Traversable = Path(name) if is_path else files(__package__) / f"{name}.yaml"
    if not path.is_file():
        raise BadInput(f"recipe {name!r} not found: use a path to a .yaml file, or one of {', '.join(recipe_names())}")
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"recipe {name}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict):
        raise BadInput(f"recipe {name}: expected sections such as 'training:', found {type(fields).__name__}")
    parent = fields.pop("extends", None)
    return fields if parent is None else merge(read_recipe(str(parent), (*seen, name)), fields)


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
