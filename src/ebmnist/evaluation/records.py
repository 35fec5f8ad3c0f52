"""What is kept of a section's outcome: its metrics and how they were measured, as evaluation.json holds them."""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ebmnist.evaluation.base import Metric, SectionResult


class SectionRecord(NamedTuple):
    """One section's outcome, less the tensors."""

    metrics: tuple[Metric, ...]
    baselines: tuple[Metric, ...]
    method: str
    seconds: float
    quick: bool = False
    seed: int | None = None
    commit: str | None = None


def record_of(measured: SectionResult, seconds: float) -> SectionRecord:
    """Keep what goes to disk."""
    return SectionRecord(measured.metrics, measured.baselines, measured.method, seconds)


def record_to_json(section: SectionRecord) -> dict[str, Any]:
    """Return a section as evaluation.json holds it. Raises `ValueError` where a metric is NaN."""
    return {
        **section._asdict(),
        "metrics": [_to_json(f) for f in section.metrics],
        "baselines": [_to_json(f) for f in section.baselines],
        "seconds": round(section.seconds, 1),
    }


def record_from_json(fields: Mapping[str, Any]) -> SectionRecord:
    """Return a section from its checked fields."""
    metrics, baselines = (tuple(map(_metric, fields[key])) for key in ("metrics", "baselines"))
    how = fields["quick"] or False, fields["seed"], fields["commit"]
    return SectionRecord(metrics, baselines, fields["method"], fields["seconds"], *how)


def _to_json(metric: Metric) -> dict[str, Any]:
    if math.isnan(metric.value):
        raise ValueError(f"{metric.name} is NaN: a section must raise Unmeasurable instead")
    return {**metric._asdict(), "value": _number(metric.value), "error": _number(metric.error)}


def _number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else json.dumps(value)


def _metric(fields: Mapping[str, Any]) -> Metric:
    error = fields["error"]
    rest = {"value": float(fields["value"]), "error": None if error is None else float(error)}
    return Metric(**{**fields, **rest})
