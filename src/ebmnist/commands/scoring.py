"""The commands that say whether images are normal, and prepare a model to say so without its data."""

import argparse
import json
from typing import Any

from torch import Tensor

from ebmnist.console import say
from ebmnist.data import read_images
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.exporting import calibrate as calibrate_model
from ebmnist.inference.detector import NOISE_AVERAGED
from ebmnist.output import put
from ebmnist.trained import load


def score(args: argparse.Namespace, _: list[str]) -> int:
    """Print every score of each image, and where the chosen one stands among validation images."""
    model = load(args.model, args.device, args.data_root)
    images = model.checked(read_images(args.input).to(model.device))
    if model.stored_detector() is None:
        say(f"no detector is stored, so one is fitted to the data; to store it: ebmnist calibrate {args.model}")
    if model.levels is not None:
        say(f"energy is −log p(x) in nats, of images with noise σ = {model.levels[0]:g}")
    detector = model.detector()
    if args.score not in detector.reference:
        raise BadInput(f"--score {args.score}: this model has no noise levels; use {', '.join(detector.reference)}")
    try:
        values = detector.by_name(detector.scores(model, images, str(args.input)))
    except Unmeasurable as error:
        raise BadInput(f"{error}; use other images or weights") from error
    percentile, p_value = detector.judged(args.score, values[args.score])
    columns: dict[str, list[Any]] = {
        "energy": values["energy"].tolist(),
        "noise_averaged_energy": _or_none(values.get(NOISE_AVERAGED), len(images)),
        "combined": values["combined"].tolist(),
        "percentile": percentile.tolist(),
        "p_value": p_value.tolist(),
        "outlier": (p_value <= args.false_positive_rate).int().tolist(),
    }
    rows = list(zip(*columns.values(), strict=True))
    if args.json:
        put(json.dumps([dict(zip(columns, row, strict=True)) for row in rows]))
    else:
        lines = (",".join("" if cell is None else repr(cell) for cell in (i, *row)) for i, row in enumerate(rows))
        put("\n".join([",".join(["index", *columns]), *lines]))
    return 0


def calibrate(args: argparse.Namespace, _: list[str]) -> int:
    """Fit a model's detector and store it."""
    path = calibrate_model(args.model, device=args.device, data_root=args.data_root, seed=args.seed)
    say(f"wrote {path}")
    return 0


def _or_none(values: Tensor | None, n: int) -> list[float | None]:
    return [None] * n if values is None else values.tolist()
