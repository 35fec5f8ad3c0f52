"""From plain fields, as YAML and JSON know them, to what Python calls with them, and back."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from ebmnist.errors import BadInput


def build(cls: type, fields: Mapping[str, Any]) -> Any:
    """Call `cls` on plain fields, making what YAML does not know: dataclasses, tuples and paths."""
    types = {f.name: f.type for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    return cls(**{name: _made(types.get(name), value) for name, value in fields.items()})


def _made(kind: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(kind):
        return build(kind, value)  # type: ignore[arg-type]
    if isinstance(value, str) and (kind is Path or Path in get_args(kind)):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Mappings, tuples and paths as YAML and JSON know them."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def absolute(root: str) -> str:
    """A data folder as it is found from anywhere: a recipe is kept, and used from other folders than where it began."""
    try:
        return str(Path(root).expanduser().absolute())
    except (RuntimeError, OSError) as error:  # no such home, or no working folder any more
        raise BadInput(f"data.root {root[:200]!r}: {error}; give the folder's full path") from error


def in_one_line(error: Exception) -> str:
    """What jsonargparse says of a field, in one line."""
    words = " ".join(str(error).split())
    return re.sub(
        r'Parser key "(.+?)": Expected an? (?:<class \'(\w+)\'>|(.+?))\. Got value: ', r"\1: expected \2\3, not ", words
    )[:500]
