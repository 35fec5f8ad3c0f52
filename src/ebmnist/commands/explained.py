"""A recipe as YAML, with what each field means above it."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ebmnist.config import Recipe, recipe_parser

WIDTH = 118


def explained(recipe: Recipe) -> str:
    """Return the whole recipe as YAML that reads back to the same recipe, each field under its own docstring."""
    meanings = {action.dest: action.help for action in recipe_parser(recipe.kinds)._actions}
    return "\n".join(_lines(recipe.fields, meanings, ())) + "\n"


def _lines(fields: Mapping[str, Any], meanings: Mapping[str, str | None], path: tuple[str, ...]) -> Iterator[str]:
    margin = "  " * len(path)
    for key, value in fields.items():
        section = isinstance(value, dict)
        meaning = None if section else meanings.get(".".join((*path, key)))
        for line in textwrap.wrap(" ".join((meaning or "").split()), WIDTH - len(margin) - 2):
            yield f"{margin}# {line}"
        if section:
            yield f"{margin}{key}:"
            yield from _lines(value, meanings, (*path, key))
        else:
            text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
            text = text.removesuffix("\n").removesuffix("\n...")  # the mark of a scalar document's end
            yield f"{margin}{key}: {text}"
