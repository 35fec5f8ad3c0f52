"""Measurements in words: what a report opens with, and runs side by side."""

from pathlib import Path

from ebmnist.artifacts.measurements import Measurements, Section
from ebmnist.artifacts.tables import comparison, headline, parts_of, picture_of
from ebmnist.evaluation.base import Figure


def test_runs_that_were_measured_differently_can_be_compared() -> None:
    """A section that is missing, one that failed, a figure that only one run has."""
    figures = {f"K = {k}": Figure(f"K = {k}", float(k), 1.0) for k in (64, 128)}
    anchor = Figure("floor: K = 64", 2.0)
    a = Section((figures["K = 64"],), (anchor,), "", 1.0)
    b = Section((figures["K = 64"], figures["K = 128"]), (), "", 1.0)
    long = Measurements({"recipe": "long"}, {}, {"fine": b}, {})
    failed = Measurements({"recipe": "failed"}, {}, {}, {"fine": "fine: the energy is NaN"})
    runs = {"short": Measurements({"recipe": "short"}, {}, {"fine": a}, {}), "long": long, "failed": failed}
    facts, table = comparison({**runs, "other": Measurements({"recipe": "other"}, {}, {}, {})})
    assert (facts.title, table.title) == ("Runs", "Fine")
    assert facts.rows[0] == ("recipe", "short", "long", "failed", "other")
    assert table.columns == ("", "short", "long", "failed", "other")
    assert table.rows == (
        ("K = 64", "64 ± 1", "64 ± 1", "–", "–"),
        ("floor: K = 64", "2", "–", "–", "–"),
        ("K = 128", "–", "128 ± 1", "–", "–"),
        ("not measured", "–", "–", "fine: the energy is NaN", "–"),
    )


def test_the_headline_shows_floor_and_anchor() -> None:
    figures = (Figure("Fréchet distance", 17.0, 1.0),)
    anchors = (
        Figure("floor, training images: Fréchet distance", 3.0),
        Figure("class Gaussians: Fréchet distance", 111.0),
    )
    cards = headline(Measurements({}, {}, {"fidelity": Section(figures, anchors, "", 1.0)}, {}))
    assert cards == [("Fréchet distance", "17 ± 1", "floor, training images: 3; class Gaussians: 111")]


def test_a_picture_that_was_not_drawn_is_not_replaced_by_an_older_one(tmp_path: Path) -> None:
    sections = {name: Section((Figure("a", 1.0),), (), "How.", 2.0) for name in ("fidelity", "ood")}
    sections["ood"] = sections["ood"]._replace(quick=True, commit="0123456789abcdef")
    for name in sections:
        picture_of(name, tmp_path).write_bytes(b"an older one")
    failures = {"ood": "ood: its picture, …", "mixing": "mixing: why"}
    parts = {p.title: p for p in parts_of(Measurements({}, {}, sections, failures), tmp_path)}
    assert parts["Fidelity"].pictures == (picture_of("fidelity", tmp_path),)
    assert parts["Out of distribution"].pictures == ()
    assert parts["Not measured"].rows == (("mixing", "mixing: why"),)
    assert parts["Not drawn"].rows == (("ood", "ood: its picture, …"),)
    assert parts["Fidelity"].words == "How.\n\nMeasured in 2 s."
    assert parts["Out of distribution"].words.endswith("Measured in 2 s, at quick sizes, at commit 0123456.")
