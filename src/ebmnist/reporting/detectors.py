"""A detector on disk, in the folder `detector` of the checkpoint that it was fitted to: no data set is needed to score.

It has the files of a checkpoint: safetensors, JSON and checksums, written whole or not at all.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.inference.detector import MAX_SOFTMAX, NOISE_AVERAGED, RELATIVE, SCORES, Detector, Scores, Standard
from ebmnist.inference.feature_density import FeatureDensity
from ebmnist.inference.gaussian_mixture import GaussianMixture
from ebmnist.reading import parse_json
from ebmnist.reading.schema import check, number, optional, record, text, whole
from ebmnist.reporting.checkpoint import FACTS, TENSORS, read_sealed, weights_digest, write_sealed
from ebmnist.reporting.tensors import tensors_of, tensors_to_bytes

FOLDER = "detector"
STANDARD = record({"mean": number(), "scale": number(0), "weight": number(0)}, closed=True)
SCHEMA = record(
    {
        "weights": text(100),  # SHA-256 of the tensors that it was fitted to
        "sigma": optional(number(0)),
        "seed": whole(0),
        "standard": record({}, dict.fromkeys(Scores._fields, STANDARD), closed=True),
    },
    closed=True,
)
# The density's tensors, by name; FeatureDensity.rounded() has rounded them to these types.
DENSITY = {
    "features.mean": torch.float16,
    "features.projection": torch.float16,
    "features.weights": torch.float32,
    "features.means": torch.float16,
    "features.variances": torch.float32,
    "features.bases": torch.float16,
}


def save_detector(checkpoint: Path, detector: Detector) -> Path:
    """Write a detector into the folder of its checkpoint, in place of one that was there, and return its own.

    Raises:
        BadInput: the disk is full or the folder may not be written.
    """
    tensors, facts = _contents(detector)
    return write_sealed(checkpoint / FOLDER, tensors, {"weights": weights_digest(checkpoint)} | facts)


def detector_digest(detector: Detector) -> str:
    """Return twelve hexadecimal digits that tell a detector from others."""
    tensors, facts = _contents(detector)
    return hashlib.sha256(tensors_to_bytes(tensors) + json.dumps(facts).encode()).hexdigest()[:12]


def _contents(detector: Detector) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What a file holds of a detector: tensors and facts."""
    tensors = {f"reference.{name}": values for name, values in detector.reference.items()}
    if detector.density is not None:
        mean, projection, (weights, means, variances, bases, _) = detector.density
        values = (mean, projection, weights, means, variances, bases)
        tensors |= {name: value.to(DENSITY[name]) for name, value in zip(DENSITY, values, strict=True)}
    standard = {name: each._asdict() for name, each in detector.standard.items()}
    return tensors, {"sigma": detector.sigma, "seed": detector.seed, "standard": standard}


def read_detector(checkpoint: Path) -> Detector | None:
    """Read the detector of a checkpoint; None where it has none.

    Raises:
        BadInput: it is incomplete, altered or truncated, or was fitted to other weights.
    """
    path = checkpoint / FOLDER
    if not path.is_dir():
        return None
    mend = f"remove the folder {path}, then: ebmnist calibrate {checkpoint}"
    try:
        contents = read_sealed(path)
    except BadInput as error:
        raise BadInput(f"{error}; {mend}") from None
    facts = check(parse_json(contents[FACTS], str(path / FACTS), mend), SCHEMA, str(path / FACTS), mend)
    tensors = tensors_of(contents[TENSORS], str(path / TENSORS), mend)
    if facts["weights"] != weights_digest(checkpoint):
        raise BadInput(f"{path}: was fitted to other weights; {mend}")
    if wrong := _wrong(tensors, facts):
        raise BadInput(f"{path / TENSORS}: {wrong}; {mend}")
    standard = {name: Standard(**each) for name, each in facts["standard"].items()}
    reference = {name: tensors[f"reference.{name}"] for name in SCORES if f"reference.{name}" in tensors}
    return Detector(facts["sigma"], facts["seed"], _density(tensors), standard, reference)


def _density(tensors: dict[str, Tensor]) -> FeatureDensity | None:
    if DENSITY.keys().isdisjoint(tensors):
        return None
    mean, projection, weights, means, variances, bases = (tensors[name].double() for name in DENSITY)
    return FeatureDensity(mean, projection, GaussianMixture(weights, means, variances, bases))


def _wrong(tensors: dict[str, Tensor], facts: dict[str, Any]) -> str | None:
    """What is wrong with a detector's tensors, if anything."""
    standard, has_density = facts["standard"].keys(), not DENSITY.keys().isdisjoint(tensors)
    several = has_density and tensors.get("features.weights", torch.empty(0)).numel() > 1
    needs = {NOISE_AVERAGED: facts["sigma"] is not None, "features": has_density}
    scores = [name for name in SCORES if (needs | {RELATIVE: several, MAX_SOFTMAX: several}).get(name, True)]
    types = {f"reference.{name}": torch.float32 for name in scores} | (DENSITY if has_density else {})
    if {name: tensor.dtype for name, tensor in tensors.items()} != types:
        return f"expected {', '.join(types)}"
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        return "a number is not finite"
    needed = {"energy", "gradient_norm"} | ({"noise_averaged"} if facts["sigma"] is not None else set())
    if not needed <= standard or ("features" in standard) != has_density:
        return "it does not say how its scores are combined"
    for name in scores:
        values = tensors[f"reference.{name}"]
        if values.dim() != 1 or not len(values) or bool((values.diff() < 0).any()):
            return f"the reference of {name} is not a rising list"
    if has_density:
        c, d = tensors["features.means"].shape if tensors["features.means"].dim() == 2 else (0, 0)
        n = len(tensors["features.mean"]) if tensors["features.mean"].dim() == 1 else 0
        shapes = ((n,), (n, d), (c,), (c, d), (c, d), (c, d, d))
        if not c * d * n or [tuple(tensors[name].shape) for name in DENSITY] != list(shapes):
            return "the shapes of the density do not fit together"
        if bool((tensors["features.variances"] <= 0).any()) or bool((tensors["features.weights"] <= 0).any()):
            return "a variance or a weight is not above 0"
        if any((name in standard) != (c > 1) for name in ("relative_mahalanobis", "max_softmax")):
            return "it does not say how its scores are combined"
    return None
