"""Scores of images as people read them: lines of CSV, and objects of JSON."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ebmnist.reporting.chunks import Format

COLUMNS = (
    "energy",
    "noise_averaged_energy",
    "features",
    "relative_mahalanobis",
    "max_softmax",
    "combined",
    "percentile",
    "p_value",
    "outlier",
)


def csv_format(*, named: bool) -> Format:
    """Return the format of a .csv of scores, of images that are files with names or not."""
    return Format(header=(",".join(["index", *["name"] * named, *COLUMNS]) + "\n").encode())


def csv_rows(rows: range, scores: npt.NDArray[np.void], names: Sequence[str] | None) -> str:
    """Return a line for each image of the numbers `rows`; `scores`, (len(rows),), has a field for each column."""
    lines = io.StringIO()
    columns = _columns(scores, names)
    csv.writer(lines, lineterminator="\n").writerows(zip(rows, *columns.values(), strict=True))
    return lines.getvalue()


def json_rows(scores: npt.NDArray[np.void], names: Sequence[str] | None) -> str:
    """Return an object for each image, with commas between them; they are as `csv_rows` has them."""
    columns = _columns(scores, names)
    return ", ".join(json.dumps(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))


def _columns(scores: npt.NDArray[np.void], names: Sequence[str] | None) -> dict[str, Sequence[Any]]:
    """The cells by column; those of a score that a model does not have are None."""
    known = scores.dtype.names or ()
    columns = {name: scores[name].tolist() if name in known else [None] * len(scores) for name in COLUMNS}
    columns["outlier"] = scores["outlier"].astype(int).tolist()
    return columns if names is None else {"name": names, **columns}
