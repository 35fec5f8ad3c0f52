"""Schemas: what a value that was read must be, as a table of fields, checked once where it comes in.

A schema is a function that takes a value and says where it is wrong and how, or None. `record` makes one of a table:

>>> event = record({"step": whole(0), "signals": list_of(text())})
>>> event({"step": 3, "signals": []})
>>> event({"step": 3, "signals": [0]})
'.signals[0]: expected text, not 0'
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ebmnist.errors import BadInput

Schema = Callable[[Any], str | None]


def check(value: Any, schema: Schema, name: str, mend: str) -> Any:
    """Return `value` if it has the schema. Raises: BadInput, naming the file, the field and the `mend`."""
    if (wrong := schema(value)) is not None:
        raise BadInput(f"{name}: {wrong.removeprefix('.').removeprefix(': ')}; {mend}")
    return value


def whole(low: int = -(2**63), high: int = 2**63 - 1) -> Schema:
    """A whole number in [low, high]."""
    return lambda value: (
        None if type(value) is int and low <= value <= high else _not(_range("whole", low, high), value)
    )


def number(low: float = -math.inf, high: float = math.inf) -> Schema:
    """A finite number in [low, high]."""

    def schema(value: Any) -> str | None:
        known = (type(value) is int and abs(value) < 2**1000) or (type(value) is float and math.isfinite(value))
        fits = known and low <= value <= high
        return None if fits else _not(_range("finite", low, high), value)

    return schema


def text(longest: int = 100_000) -> Schema:
    """Text of at most so many characters."""
    return lambda value: None if isinstance(value, str) and len(value) <= longest else _not("text", value)


def flag(value: Any) -> str | None:
    """True or false."""
    return None if isinstance(value, bool) else _not("true or false", value)


def one_of(*values: Any) -> Schema:
    """One of these values."""
    return lambda value: (
        None if any(type(value) is type(v) and value == v for v in values) else _not(f"one of {values}", value)
    )


def anything(value: Any) -> str | None:  # noqa: ARG001 (a schema's)
    """Whatever the format allows."""
    return None


def either(*schemas: Schema) -> Schema:
    """What has one of these schemas."""

    def schema(value: Any) -> str | None:
        wrong = [fault for each in schemas if (fault := each(value)) is not None]
        return None if len(wrong) < len(schemas) else wrong[0]

    return schema


def optional(schema: Schema) -> Schema:
    """Null, or what has this schema."""
    return lambda value: None if value is None else schema(value)


def list_of(item: Schema, longest: int = 1_000_000, length: int | None = None) -> Schema:
    """A list of such items: `length` of them, or at most `longest`."""

    def schema(value: Any) -> str | None:
        if not isinstance(value, list) or len(value) > longest or length not in (None, len(value)):
            expected = "a list" if length is None else f"a list of {length}"
            return f"{_not(expected, value)} of {len(value)}" if isinstance(value, list) else _not(expected, value)
        return next((f"[{i}]{wrong}" for i, one in enumerate(value) if (wrong := item(one)) is not None), None)

    return schema


def mapping_of(item: Schema) -> Schema:
    """An object, whatever its keys, of such items."""

    def schema(value: Any) -> str | None:
        if not isinstance(value, Mapping):
            return _not("an object", value)
        return next((f".{key}{wrong}" for key, one in value.items() if (wrong := item(one)) is not None), None)

    return schema


def record(fields: Mapping[str, Schema], also: Mapping[str, Schema] | None = None, *, closed: bool = False) -> Schema:
    """An object with these fields, those in `also` if they are there, and, unless `closed`, any others."""
    also = also or {}

    def schema(value: Any) -> str | None:
        if not isinstance(value, Mapping):
            return _not("an object", value)
        for key in sorted(fields.keys() - value.keys()):
            return f": {key} is missing"
        if closed and (others := value.keys() - fields.keys() - also.keys()):
            return f": {min(map(str, others))[:60]!r} is unknown; known are {', '.join(sorted(fields.keys() | also))}"
        known = {**fields, **also}
        faults = ((key, known[key](one)) for key, one in value.items() if key in known)
        return next((f".{key}{wrong}" for key, wrong in faults if wrong is not None), None)

    return schema


def _range(kind: str, low: float, high: float) -> str:
    bounds = [f"≥ {low:,}"] * (low > -(10**12)) + [f"≤ {high:,}"] * (high < math.inf)
    return f"a {kind} number {' and '.join(bounds)}".strip()


def _not(expected: str, value: Any) -> str:
    shown = f"a {type(value).__name__}"
    if isinstance(value, str | int | float | None):
        shown = repr(value)[:60] if not isinstance(value, int) or abs(value) < 2**200 else "a far larger one"
    return f": expected {expected}, not {shown}"
