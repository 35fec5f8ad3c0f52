"""From a trained energy to evaluation.json: measure section by section, and word the figures for a reader."""

import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from ebmnist.artifacts.measurements import Measurements, Section, section_of, words
from ebmnist.artifacts.report import Part
from ebmnist.data.base import Dataset
from ebmnist.errors import BadInput
from ebmnist.evaluation import REGISTRY, Subject, Unmeasurable
from ebmnist.evaluation.base import Figure, Measured
from ebmnist.trained import Trained

# What a report opens with: section, figure, and the anchors shown beside it.
HEADLINE = (
    ("fidelity", "Fréchet distance", ("floor, training images", "class Gaussians")),
    ("fidelity", "digit-histogram KL", ("floor, training images", "class Gaussians")),
    ("fidelity", "confident share", ("floor, training images", "class Gaussians")),
)


class Examined(NamedTuple):
    """A section was measured, or could not be."""

    name: str
    outcome: Section | str  # a string says why not
    measured: Measured | None  # with the tensors for a picture; None where it could not be measured


def section_names(only: Collection[str] = ()) -> list[str]:
    """The sections asked for, all of them if none is named. Raises `BadInput` for an unknown one."""
    for name in only:
        if name not in REGISTRY:
            raise BadInput(f"section {name!r} is unknown: use {', '.join(REGISTRY)}")
    return [name for name in REGISTRY if not only or name in only]


def subject_of(model: Trained, dataset: Dataset, replay: torch.Tensor | None) -> Subject:
    """What the evaluation room judges of a model."""
    return Subject(model, model.kernel, model.n_steps, dataset, model.device, replay)


def examine(subject: Subject, names: Collection[str], *, quick: bool, seed: int) -> Iterator[Examined]:
    """Measure section by section; one that cannot be measured leaves the others alone."""
    for name in names:
        section = REGISTRY[name].quick() if quick else REGISTRY[name]()
        # A stream of its own, so that a section's figures do not depend on which others were asked for.
        rng = torch.Generator(subject.device).manual_seed(seed)
        begin = time.perf_counter()
        try:
            measured = section.measure(subject, rng)
        except Unmeasurable as error:
            yield Examined(name, str(error), None)
            continue
        yield Examined(name, section_of(measured, time.perf_counter() - begin), measured)


def headline(measurements: Measurements) -> list[tuple[str, str, str]]:
    """The figures that a report opens with, each with its anchors in words."""
    cards = []
    for name, figure_name, anchors in HEADLINE:
        if (section := measurements.sections.get(name)) is None:
            continue
        figures = {f.name: f for f in (*section.figures, *section.anchors)}
        if figure_name not in figures:
            continue
        beside = [f"{a}: {words(figures[f'{a}: {figure_name}'])}" for a in anchors if f"{a}: {figure_name}" in figures]
        cards.append((figure_name, words(figures[figure_name]), "; ".join(beside)))
    return cards


def picture_of(name: str, folder: Path) -> Path:
    """Where a section's picture stands in a folder of figures."""
    return folder / f"evaluation-{name}.png"


def parts_of(measurements: Measurements, folder: Path) -> list[Part]:
    """The report's parts: how each section was measured, its figures and anchors, and its picture, if it has one."""
    parts = [_part(name, section, picture_of(name, folder)) for name, section in measurements.sections.items()]
    if measurements.failures:
        rows = tuple(measurements.failures.items())
        parts.append(Part("Not measured", "", (), ("section", "why"), rows))
    return parts


def comparison(runs: Mapping[str, Measurements]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of a table of all figures of all runs, then the anchors of the first run that has them."""
    rows: dict[str, dict[str, str]] = {}
    for run, measurements in runs.items():
        for name, section in measurements.sections.items():
            for figure in section.figures:
                rows.setdefault(f"{name}: {figure.name}", {})[run] = words(figure)
            for anchor in section.anchors:
                rows.setdefault(f"{name}: {anchor.name}", {})[run] = words(anchor)
    return ("figure", *runs), [(name, *(cells.get(run, "–") for run in runs)) for name, cells in rows.items()]


def _part(name: str, section: Section, picture: Path) -> Part:
    rows = tuple((f.name, words(f), f.note) for f in _beside(section))
    method = f"{section.method}\n\nMeasured in {section.seconds:.0f} s."
    pictures = (picture,) if picture.is_file() else ()
    return Part(name.replace("_", " ").capitalize(), method, pictures, ("figure", "value", "note"), rows)


def _beside(section: Section) -> Iterator[Figure]:
    """Each figure, its anchors right below it, then the anchors that belong to no figure."""
    left = list(section.anchors)
    for figure in section.figures:
        yield figure
        own = [a for a in left if a.name.endswith(f": {figure.name}")]
        left = [a for a in left if a not in own]
        yield from own
    yield from left
