"""A measurement in words: the headline and parts of a report, and several measurements side by side."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ebmnist.errors import BadInput
from ebmnist.evaluation import REGISTRY
from ebmnist.evaluation.base import Metric
from ebmnist.evaluation.records import SectionRecord
from ebmnist.reporting.history import Session, in_words
from ebmnist.reporting.measurements import Measurements, words
from ebmnist.reporting.parts import read_parts
from ebmnist.reporting.report import Part, write_report


class Card(NamedTuple):
    """A large number that a report opens with: a section's figure, and by label the figures beside it."""

    title: str
    section: str
    figure: str
    beside: dict[str, str]


def _of_fidelity(figure: str) -> Card:
    return Card(
        figure,
        "fidelity",
        figure,
        {n: f"{n}: {figure}" for n in ("real reference, training images", "class Gaussians")},
    )


def _of_outliers(title: str, kind: str) -> Card:
    beside = {score: f"{score}: {kind} AUROC" for score in ("Mahalanobis", "5-NN")}
    return Card(f"AUROC, {title}", "ood", f"E: {kind} AUROC", beside)


HEADLINE = (
    *map(_of_fidelity, ("Fréchet distance", "coverage", "digit-histogram KL", "confident share")),
    Card("drift of long chains from noise", "chain_length", "from noise: drift", {"from data": "from data: drift"}),
    Card(
        "denoised by descent, σ = 0.3",
        "denoising",
        "descent, σ=0.3: PSNR",
        {name: f"{name}, σ=0.3: PSNR" for name in ("noisy", "Wiener", "autoencoder")},
    ),
    # Two kinds near to digits: the same strokes the other way round, and too many of them.
    _of_outliers("mirrored digits", "hflip"),
    _of_outliers("two digits overlaid", "overlaid"),
)

# What a comparison opens with: how each run was made and measured.
SHOWN = ("recipe", "updates", "seed", "quick", "date", "commit", "dirty", "processor", "cores", "accelerator")
COMPARABLE = (
    "Distances are in the feature space of this project's own digit classifier: they are not comparable with "
    "Inception FIDs."
)


def headline(measurements: Measurements) -> list[tuple[str, str, str]]:
    """The figures that a report opens with, each with its baselines in words."""
    cards = []
    for title, name, figure, baselines in HEADLINE:
        section = measurements.sections.get(name)
        figures = {} if section is None else {f.name: f for f in (*section.metrics, *section.baselines)}
        if figure in figures:
            beside = [
                f"{label}: {words(figures[baseline])}" for label, baseline in baselines.items() if baseline in figures
            ]
            cards.append((title, words(figures[figure]), "; ".join(beside)))
    return cards


def picture_of(name: str, folder: Path) -> Path:
    """Where a section's picture stands in a folder of figures."""
    return folder / f"evaluation-{name}.png"


def parts_of(measurements: Measurements, folder: Path) -> list[Part]:
    """The report's parts: how each section was measured, its figures and baselines, and its picture, if it has one."""
    sections, failures = measurements.sections, measurements.failures
    # A picture that could not be drawn leaves an older one, of other figures, in its place.
    parts = [_part(name, s, None if name in failures else picture_of(name, folder)) for name, s in sections.items()]
    drawn_not = tuple(failure for failure in failures.items() if failure[0] in sections)
    measured_not = tuple(failure for failure in failures.items() if failure[0] not in sections)
    for title, rows in (("Not measured", measured_not), ("Not drawn", drawn_not)):
        if rows:
            parts.append(Part(title, "", (), ("section", "why"), rows))
    return parts


def drawn_parts(figures: Path, checkpoint: str) -> tuple[list[Part], str]:
    """What was drawn of these weights in a run's folder of figures, and why something there is left out, or ""."""
    file = figures / "plots.json"
    if not file.is_file():
        return [], ""
    try:
        return read_parts(file, checkpoint), ""
    except BadInput as error:
        return [], str(error)


def write_page(folder: Path, measurements: Measurements, history: Sequence[Session]) -> Path:
    """Write report.html from what a folder holds: its pictures, if it is a run that has been drawn, and its figures.

    `history` is of the run that was measured. Pictures of other weights are left out, and the page says so.
    """
    about, environment = measurements.model, measurements.environment
    drawn, left_out = drawn_parts(folder / "figures", about.get("checkpoint", ""))  # not said by former versions
    facts = {k: str(v) for k, v in {**about, **environment}.items() if v is not None and k != "about"}
    facts |= {"resumed": "; ".join(map(in_words, history))} if history else {}
    facts |= {"left out": left_out} if left_out else {}
    facts["measured in"] = f"{sum(section.seconds for section in measurements.sections.values()):.0f} s"
    facts["distances"] = COMPARABLE
    return write_report(
        folder / "report.html",
        title=f"ebmnist · {about['recipe']}",
        about=about.get("about", ""),
        facts=facts,
        headline=headline(measurements),
        parts=[*drawn, *parts_of(measurements, folder / "figures")],
    )


def comparison(runs: Mapping[str, Measurements]) -> list[Part]:
    """Tables of all figures of all runs side by side: how each was measured, the headline, then section by section.

    A run without a figure has a dash there. No value is marked as best: many have no better direction.
    """
    columns = ("", *runs)
    facts: list[dict[str, Any]] = [m.model | m.environment for m in runs.values()]
    made = [(fact, *(str(f.get(fact, "–")) for f in facts)) for fact in SHOWN]
    cards = [{name: value for name, value, _ in headline(m)} for m in runs.values()]
    titles = [card.title for card in HEADLINE if any(card.title in c for c in cards)]
    first = [(title, *(c.get(title, "–") for c in cards)) for title in titles]
    parts = [Part("Runs", "", (), columns, tuple(made)), Part("Headline", COMPARABLE, (), columns, tuple(first))]
    found = {name for m in runs.values() for name in (*m.sections, *m.failures)}
    for name in [n for n in dict.fromkeys((*REGISTRY, *sorted(found))) if n in found]:
        cells = [_cells(m, name) for m in runs.values()]
        # The order of the first run, then what only later ones have.
        names = dict.fromkeys(itertools.chain.from_iterable(cells))
        rows = tuple((figure, *(c.get(figure, "–") for c in cells)) for figure in names)
        parts.append(Part(_title(name), "", (), columns, rows))
    return [part for part in parts if part.rows]


def _cells(measurements: Measurements, name: str) -> dict[str, str]:
    """What one run has to say in a section, by row, in words."""
    if (section := measurements.sections.get(name)) is not None:
        return {figure.name: words(figure) for figure in _beside(section)}
    return {"not measured": measurements.failures[name]} if name in measurements.failures else {}


def _part(name: str, section: SectionRecord, picture: Path | None) -> Part:
    rows = tuple((f.name, words(f), f.note) for f in _beside(section))
    how = ", at quick sizes" * section.quick + (f", at commit {section.commit[:7]}" if section.commit else "")
    method = f"{section.method}\n\nMeasured in {section.seconds:.0f} s{how}."
    pictures = (picture,) if picture is not None and picture.is_file() else ()
    return Part(_title(name), method, pictures, ("figure", "value", "note"), rows)


def _title(name: str) -> str:
    return "Out of distribution" if name == "ood" else name.replace("_", " ").capitalize()


def _beside(section: SectionRecord) -> Iterator[Metric]:
    """Each figure, its baselines right below it, then the baselines that belong to no figure."""
    left = list(section.baselines)
    for figure in section.metrics:
        yield figure
        own = [a for a in left if a.name.endswith(f": {figure.name}")]
        left = [a for a in left if a not in own]
        yield from own
    yield from left
