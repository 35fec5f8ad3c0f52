"""The drawn parts of a report, saved beside their pictures, to write the report again without drawing."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ebmnist.errors import BadInput
from ebmnist.reading import read_json
from ebmnist.reading.schema import check, list_of, record, text
from ebmnist.reporting.atomic import write_file
from ebmnist.reporting.report import Part, read_picture


def _is_bare(name: Any) -> str | None:
    """A file's name, with no folder before it."""
    bare = isinstance(name, str) and re.fullmatch(r"[\w-][\w.-]*\.(png|webp|gif)", name)
    return None if bare else f": expected a picture's name, not {str(name)[:60]!r}"


PARTS_SCHEMA = list_of(
    record(
        {
            "title": text(1000),
            "words": text(),
            "pictures": list_of(_is_bare, 1000),
            "columns": list_of(text(), 1000),
            "rows": list_of(list_of(text(), 1000)),
        },
        {"checkpoint": text(100)},  # pictures drawn by former versions do not say of which weights they are
        closed=True,
    ),
    1000,
)


def write_parts(path: Path, parts: Sequence[Part], checkpoint: str) -> Path:
    """Keep parts as JSON beside their pictures, so that a report can be written again without drawing again.

    `checkpoint` is the fingerprint of the weights that they show.
    """
    pictures = [{"pictures": [p.name for p in part.pictures], "checkpoint": checkpoint} for part in parts]
    rows = [{**part._asdict(), **more} for part, more in zip(parts, pictures, strict=True)]
    write_file(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    return path


def read_parts(path: Path, checkpoint: str) -> list[Part]:
    """Read parts back.

    Raises:
        BadInput: they are missing, damaged or of other weights than `checkpoint`, or a picture of theirs is damaged.
    """
    mend = f"draw again with: ebmnist report {path.parent.parent}"
    rows = check(read_json(path, mend), PARTS_SCHEMA, str(path), mend)
    if any(row.get("checkpoint") != checkpoint for row in rows):
        raise BadInput(f"{path}: its pictures are of other weights; {mend}")
    parts = [_part(row, path.parent) for row in rows]
    for part in parts:
        if any(len(row) != len(part.columns) for row in part.rows):
            raise BadInput(f"{path}: a row of {part.title!r} has not as many cells as there are columns; {mend}")
        for picture in part.pictures:
            read_picture(picture)
    return parts


def _part(row: dict[str, Any], folder: Path) -> Part:
    pictures = tuple(folder / name for name in row["pictures"])
    return Part(row["title"], row["words"], pictures, tuple(row["columns"]), tuple(map(tuple, row["rows"])))
