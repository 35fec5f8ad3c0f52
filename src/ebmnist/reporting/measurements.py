"""What an evaluation measured, as evaluation.json: the file that reports and comparisons are made from.

Schema, version 1:

- `format`, and of the latest evaluation `environment` and `model`: recipe, about, updates, checkpoint, seed, quick and
  device. `quick` is true if it is of one section.
- `sections`, by name: `metrics`, `baselines`, `method` (a paragraph), `seconds`, `quick`, `seed` and `commit`.
  A metric has name, value, error, unit and note. A value is a number or "Infinity". An error may be "NaN" or null.
- `failures`, by section, one line each: why it was not measured. Of a section that is there: why it was not drawn.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ebmnist.errors import BadInput
from ebmnist.evaluation import REGISTRY
from ebmnist.evaluation.base import Metric
from ebmnist.evaluation.records import SectionRecord, record_from_json, record_to_json
from ebmnist.reading import read_json
from ebmnist.reading.schema import (
    check,
    either,
    flag,
    list_of,
    mapping_of,
    number,
    one_of,
    optional,
    record,
    text,
    whole,
)
from ebmnist.reporting.atomic import write_file
from ebmnist.reporting.environment import ENVIRONMENT_SCHEMA
from ebmnist.reporting.lock import locked
from ebmnist.reporting.reading import readable

FORMAT = 1
IDENTITY = ("recipe", "updates", "checkpoint")  # in `model`: whether two evaluations are of one checkpoint

NUMBER = either(number(), one_of("Infinity", "-Infinity"))
FIGURE = record(
    {"name": text(), "value": NUMBER, "error": optional(either(NUMBER, one_of("NaN"))), "unit": text(), "note": text()},
    closed=True,
)
HOW = {"quick": optional(flag), "seed": optional(whole(0)), "commit": optional(text())}
SECTION = record(
    {"metrics": list_of(FIGURE), "baselines": list_of(FIGURE), "method": text(), "seconds": number(0)}, HOW, closed=True
)
MODEL = record(
    {"recipe": text(1000), "updates": whole(0)},
    {
        "about": text(),
        "checkpoint": text(100),
        "device": text(100),
        "quick": optional(flag),
        "seed": optional(whole(0)),
    },
)
SCHEMA = record(
    {
        "format": one_of(FORMAT),
        "model": MODEL,
        "environment": ENVIRONMENT_SCHEMA,
        "sections": mapping_of(SECTION),
        "failures": mapping_of(text()),
    }
)


class Measurements(NamedTuple):
    """A whole evaluation."""

    model: dict[str, Any]
    environment: dict[str, Any]
    sections: dict[str, SectionRecord]
    failures: dict[str, str]


def write_measurements(path: Path, measurements: Measurements) -> Path:
    """Write an evaluation, whole or not at all. Raises `BadInput` where the disk refuses."""
    write_file(path, json.dumps(to_json(measurements), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def add_measurements(path: Path, new: Measurements) -> Measurements:
    """Write `new`, with what the file has of other sections of the same checkpoint, and return both.

    Of two processes that add sections to one file, neither loses what the other wrote.

    Raises:
        BadInput: the disk refuses; what was there before is still there.
    """
    with readable(path.parent), locked(path.parent):
        whole = merged(read_former(path, new.model), new)
        write_measurements(path, whole)
    return whole


def to_json(measurements: Measurements) -> dict[str, Any]:
    """Return an evaluation as evaluation.json holds it. Raises `ValueError` where a metric is NaN."""
    sections = {name: record_to_json(section) for name, section in measurements.sections.items()}
    return {"format": FORMAT, **measurements._asdict(), "sections": sections}


def read_measurements(path: Path) -> Measurements:
    """Read an evaluation back. Raises `BadInput` where `read_plain` does."""
    return from_json(read_plain(path))


def from_json(plain: Mapping[str, Any]) -> Measurements:
    """Return an evaluation from its checked fields, as `to_json` gives them."""
    model, environment, sections, failures = (plain[key] for key in Measurements._fields)
    common = {name: model.get(name) for name in ("quick", "seed")} | {"commit": environment.get("commit")}
    read = {name: record_from_json(common | fields) for name, fields in sections.items()}
    return Measurements(model, environment, read, failures)


def read_plain(path: Path) -> dict[str, Any]:
    """Return an evaluation as plain fields, checked.

    Raises:
        BadInput: missing, damaged, or of another format.
    """
    if not path.is_file():
        raise BadInput(f"{path}: missing; make it with: ebmnist evaluate {path.parent}")
    mend = f"evaluate again with: ebmnist evaluate {path.parent}"
    whole_file = read_json(path, mend)
    if isinstance(whole_file, dict) and whole_file.get("format", FORMAT) != FORMAT:
        raise BadInput(f"{path}: format {whole_file['format']!r:.20}, this version reads {FORMAT}; {mend}")
    fields: dict[str, Any] = check(whole_file, SCHEMA, str(path), mend)
    return fields


def read_measurements_of(path: Path, model: Mapping[str, Any]) -> Measurements:
    """Read back an evaluation of the checkpoint that `model` names.

    Raises:
        BadInput: missing, damaged, of another format, or of another checkpoint.
    """
    found = read_measurements(path)
    # Evaluations of former versions do not name the checkpoint by what is in it.
    if any(found.model.get(key, model[key]) != model[key] for key in IDENTITY):
        theirs, these = (f"update {about.get('updates')}, {about.get('checkpoint')}" for about in (found.model, model))
        mend = f"measure these with: ebmnist evaluate {path.parent}"
        raise BadInput(f"{path}: its metrics are of other weights ({theirs}) than these ({these}); {mend}")
    return found


def read_former(path: Path, model: Mapping[str, Any]) -> Measurements | None:
    """Read the evaluation in a file if it is a whole one of the same checkpoint as `model`, else return None."""
    try:
        return read_measurements_of(path, model)
    except BadInput:
        return None


def merged(former: Measurements | None, new: Measurements) -> Measurements:
    """Return `new`, and with it what `former`, of the same checkpoint, has of sections that are not in `new`."""
    if former is None:
        return new
    again = {*new.sections, *new.failures}
    sections = {name: section for name, section in former.sections.items() if name not in again} | new.sections
    failures = {name: why for name, why in former.failures.items() if name not in again} | new.failures
    in_order = [name for name in dict.fromkeys((*REGISTRY, *sections)) if name in sections]
    model = new.model | {"quick": any(section.quick for section in sections.values())}
    return Measurements(model, new.environment, {name: sections[name] for name in in_order}, failures)


def words(metric: Metric) -> str:
    """A figure's value as people read it.

    >>> words(Metric("Fréchet distance", 12.3456, 0.51)), words(Metric("PSNR", 20.0, unit="dB"))
    ('12.35 ± 0.51', '20 dB')
    """
    error = "" if metric.error is None else f" ± {metric.error:.2g}"
    return f"{metric.value:.4g}{error}{' ' if metric.unit else ''}{metric.unit}"
