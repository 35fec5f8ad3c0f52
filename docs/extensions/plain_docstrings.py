"""Docstrings are plain text with code in single backticks. This turns them into the reStructuredText of Sphinx."""

import re
from typing import Any

from sphinx.application import Sphinx

# What is code stays as it is; elsewhere * | and a trailing _ are characters like others.
CODE = re.compile(r"(``.+?``|`[^`]+`)")


def to_rst(line: str) -> str:
    """Return one line of a docstring as reStructuredText.

    >>> to_rst("`x`, (B, *shape), gives |E| (B,)")
    '``x``, (B, \\\\*shape), gives \\\\|E\\\\| (B,)'
    """
    if line.lstrip().startswith(">>>"):
        return line
    parts = CODE.split(line)
    for i, part in enumerate(parts):
        if i % 2:
            parts[i] = f"``{part.strip('`')}``"
        else:
            parts[i] = re.sub(r"_(?=\W|$)", r"\\_", re.sub(r"([*|])", r"\\\1", part))
            parts[i] = re.sub(r"docs/(concepts/[a-z-]+)\.md", r":doc:`/\1`", parts[i])
    return "".join(parts)


def _before(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    if lines and lines[0].startswith("Alias for field number"):  # Python's own, of a NamedTuple
        lines.clear()
    lines[:] = [to_rst(line) for line in lines]
    if what in ("attribute", "property"):  # napoleon would take "words: words" for a type and a text
        _attributes[name] = list(lines)


def _after(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    if what in ("attribute", "property"):
        lines[:] = _attributes.pop(name)


_attributes: dict[str, list[str]] = {}


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect before and after napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", _before, priority=400)
    app.connect("autodoc-process-docstring", _after, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
