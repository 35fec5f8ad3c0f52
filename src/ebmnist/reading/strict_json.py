"""JSON from disk, strictly: bounded size and depth, finite numbers of 64 bits, no key twice, text that is Unicode."""

import json
import math
from importlib.resources.abc import Traversable
from typing import Any, NoReturn

from ebmnist.errors import BadInput
from ebmnist.reading.bounded import read_bytes

LIMIT = 16_000_000  # bytes
DEPTH = 32  # an evaluation inside a checkpoint has 6


def read_json(file: Traversable, mend: str, limit: int = LIMIT) -> Any:
    """Return the value in a JSON file. Raises: BadInput, naming the file, the fault and the `mend`."""
    return parse_json(read_bytes(file, limit), str(file), mend)


def parse_json(data: bytes, name: str, mend: str) -> Any:
    """Return the value that JSON text, UTF-8, is.

    Raises: BadInput for anything else, for more than 32 levels, a key twice in one object, a number that is not finite
    or not a whole one of 64 bits, and for half a surrogate pair.

    >>> parse_json(b'{"step": 3}', "facts.json", "train again")
    {'step': 3}
    >>> parse_json(b'{"step": NaN}', "facts.json", "train again")
    Traceback (most recent call last):
    ebmnist.errors.BadInput: facts.json: damaged (NaN is not JSON); train again
    """
    try:
        value = json.loads(
            data, parse_constant=_constant, parse_float=_finite, parse_int=_whole, object_pairs_hook=_unique
        )
        _check(value)
    except RecursionError:
        raise BadInput(f"{name}: damaged (nested more than {DEPTH} deep); {mend}") from None
    except ValueError as error:  # JSONDecodeError and UnicodeError are
        raise BadInput(f"{name}: damaged ({error}); {mend}") from error
    return value


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (number := int(text)) < 2**63:
        raise ValueError(f"{text[:20]}… is too large")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return fields


def _check(value: Any) -> None:
    """Refuse what is nested too deeply, or text that no encoding can write. Level by level, so that it cannot recur."""
    level: list[Any] = [value]
    for _ in range(DEPTH + 1):
        for here in level:
            if isinstance(here, str):
                here.encode()
        holders = [here for here in level if isinstance(here, dict | list)]
        if not holders:
            return
        level = [inner for here in holders for inner in (here if isinstance(here, list) else (*here, *here.values()))]
    raise ValueError(f"nested more than {DEPTH} deep")
