"""The commands that say whether images are normal, and prepare a model to say so without its data."""

import argparse
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebmnist.commands.chunks import writing
from ebmnist.commands.ends import may_write
from ebmnist.console import say
from ebmnist.data import ManyImages, identity_of, open_images
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.exporting import calibrate as calibrate_model
from ebmnist.inference.detector import NOISE_AVERAGED, Detector
from ebmnist.inference.scoring import BATCH_SIZE
from ebmnist.launched import join
from ebmnist.output import put
from ebmnist.ranks import Ranks
from ebmnist.reporting import fingerprint, load_checkpoint
from ebmnist.reporting.chunks import Chunks, npy_format
from ebmnist.reporting.detectors import detector_digest
from ebmnist.reporting.score_tables import csv_format, csv_rows, json_rows
from ebmnist.terminal import console, steps_bar
from ebmnist.trained import Trained, load

CHUNK = 8 * BATCH_SIZE  # images: 12.5 MB


class _Judge(NamedTuple):
    """What the scores of images come from."""

    model: Trained
    detector: Detector
    score: str  # by which images are judged
    rate: float  # of false positives

    def columns(self) -> np.dtype[np.void]:
        """What is said of an image, by name: the scores that the model has, and what one of them says."""
        scores = [(_column(name), "<f4") for name in self.detector.reference]
        return np.dtype([*scores, ("percentile", "<f8"), ("p_value", "<f8"), ("outlier", "?")])

    def of(self, images: ManyImages, rows: range, name: str) -> npt.NDArray[np.void]:
        """Return the scores of some images, (len(rows),). Raises: BadInput, where one is not a number."""
        x = self.model.checked(images.read(rows).to(self.model.device))
        try:
            values = self.detector.by_name(self.detector.scores(self.model, x, name))
        except Unmeasurable as error:
            raise BadInput(f"{error}; use other images or weights") from error
        percentile, p_value = self.detector.judged(self.score, values[self.score])
        found = np.empty(len(rows), self.columns())
        for column, value in values.items():
            found[_column(column)] = value.numpy()
        found["percentile"], found["p_value"] = percentile.numpy(), p_value.numpy()
        found["outlier"] = (p_value <= self.rate).numpy()
        return found


def _column(score: str) -> str:
    """The name of a score's column."""
    return "noise_averaged_energy" if score == NOISE_AVERAGED else score.replace("-", "_")


def score(args: argparse.Namespace, _: list[str]) -> int:
    """Say the scores of each image, and where the chosen one stands among validation images."""
    with join() as ranks, ExitStack() as stack:
        console.quiet = not ranks.first
        with ranks.agreed():
            _check(args, ranks)
            model = load(args.model, args.device, args.data_root)
            images = stack.enter_context(open_images(args.input))
            if model.stored_detector() is None:
                how = f"to store it: ebmnist calibrate {args.model}"
                say(f"no detector is stored, so one is fitted to the data; {how}")
            judge = _Judge(model, model.detector(), args.score, args.false_positive_rate)
            if args.score not in (known := judge.detector.reference):
                raise BadInput(f"--score {args.score}: this model has no such score; use {', '.join(known)}")
        if model.levels is not None:
            say(f"energy is −log p(x) in nats, of images with noise σ = {model.levels[0]:g}")
        if args.out is None:
            _print(args, judge, images)
        else:
            _write(args, judge, images, ranks)
    return 0


def _check(args: argparse.Namespace, ranks: Ranks) -> None:
    """Refuse what could not be written. Raises: BadInput."""
    if args.out is None and ranks.size > 1:
        raise BadInput("score: several ranks write a file together; add --out FILE")
    if args.out is not None:
        may_write(args.out, (".csv", ".npy"), force=args.force, source=args.input)
        if args.json:
            raise BadInput("--json is for stdout; leave it out, or --out")


def _print(args: argparse.Namespace, judge: _Judge, images: ManyImages) -> None:
    """Print the scores chunk by chunk."""
    end, after = ("]\n", "[") if args.json else ("", csv_format(named=_named(images)).header.decode())
    for begin in range(0, images.n, CHUNK):
        rows = range(begin, min(begin + CHUNK, images.n))
        found, names = judge.of(images, rows, str(args.input)), images.names(rows)
        put(after + (json_rows(found, names) if args.json else csv_rows(rows, found, names)), end="")
        after = ", " if args.json else ""
    put(end, end="")


def _write(args: argparse.Namespace, judge: _Judge, images: ManyImages, ranks: Ranks) -> None:
    """Write the scores: each rank takes one chunk after the other."""
    as_csv = args.out.suffix == ".csv"
    form = csv_format(named=_named(images)) if as_csv else npy_format(images.n, judge.columns())
    file = Chunks(args.out, images.n, CHUNK, form)
    asked = {
        "input": identity_of(args.input, images),
        "model": fingerprint(load_checkpoint(args.model)),
        "detector": detector_digest(judge.detector),
        "score": args.score,
        "false-positive rate": args.false_positive_rate,
    }
    with writing(file, asked, ranks) as missing, steps_bar("scoring", len(missing) * CHUNK) as progress:
        for turn in ranks.turns(len(missing)):
            rows = file.rows(missing[turn])
            found = judge.of(images, rows, str(args.input))
            data = csv_rows(rows, found, images.names(rows)).encode() if as_csv else found.tobytes()
            file.write(missing[turn], data)
            progress((turn + 1) * CHUNK)
    say(f"wrote {args.out}: {images.n:,} images")


def _named(images: ManyImages) -> bool:
    return images.names(range(1)) is not None


def calibrate(args: argparse.Namespace, _: list[str]) -> int:
    """Fit a model's detector and store it."""
    path = calibrate_model(args.model, device=args.device, data_root=args.data_root, seed=args.seed)
    say(f"wrote {path}")
    return 0
