"""Measurements in words: what a report opens with, and runs side by side."""

import json
from pathlib import Path

from ebmnist.evaluation.base import Metric
from ebmnist.evaluation.records import SectionRecord
from ebmnist.reporting.checkpoint import PRETRAINED
from ebmnist.reporting.measurements import Measurements
from ebmnist.reporting.tables import HEADLINE, comparison, headline, parts_of, picture_of


def test_runs_that_were_measured_differently_can_be_compared() -> None:
    """A section that is missing, one that failed, a figure that only one run has."""
    metrics = {f"K = {k}": Metric(f"K = {k}", float(k), 1.0) for k in (64, 128)}
    baseline = Metric("real reference: K = 64", 2.0)
    a = SectionRecord((metrics["K = 64"],), (baseline,), "", 1.0)
    b = SectionRecord((metrics["K = 64"], metrics["K = 128"]), (), "", 1.0)
    long = Measurements({"recipe": "long"}, {}, {"fine": b}, {})
    failed = Measurements({"recipe": "failed"}, {}, {}, {"fine": "fine: the energy is NaN"})
    runs = {"short": Measurements({"recipe": "short"}, {}, {"fine": a}, {}), "long": long, "failed": failed}
    facts, table = comparison({**runs, "other": Measurements({"recipe": "other"}, {}, {}, {})})
    assert (facts.title, table.title) == ("Runs", "Fine")
    assert facts.rows[0] == ("recipe", "short", "long", "failed", "other")
    assert table.columns == ("", "short", "long", "failed", "other")
    assert table.rows == (
        ("K = 64", "64 ± 1", "64 ± 1", "–", "–"),
        ("real reference: K = 64", "2", "–", "–", "–"),
        ("K = 128", "–", "128 ± 1", "–", "–"),
        ("not measured", "–", "–", "fine: the energy is NaN", "–"),
    )


def test_the_headline_shows_real_reference_and_baseline() -> None:
    metrics = (Metric("Fréchet distance", 17.0, 1.0),)
    baselines = (
        Metric("real reference, training images: Fréchet distance", 3.0),
        Metric("class Gaussians: Fréchet distance", 111.0),
    )
    cards = headline(Measurements({}, {}, {"fidelity": SectionRecord(metrics, baselines, "", 1.0)}, {}))
    assert cards == [("Fréchet distance", "17 ± 1", "real reference, training images: 3; class Gaussians: 111")]


def test_every_section_that_was_measured_has_its_cards() -> None:
    drift = (Metric("from noise: drift", 1.4, 0.2), Metric("from data: drift", 2.0, 0.5))
    psnr = {name: Metric(f"{name}, σ=0.3: PSNR", value, 0.1, "dB") for name, value in (("descent", 22), ("Wiener", 20))}
    ranked = {score: Metric(f"{score}: hflip AUROC", value) for score, value in (("E", 0.82), ("5-NN", 0.8))}
    sections = {
        "chain_length": SectionRecord(drift, (), "", 1.0),
        "denoising": SectionRecord((psnr["descent"],), (psnr["Wiener"],), "", 1.0),
        "ood": SectionRecord((ranked["E"],), (ranked["5-NN"],), "", 1.0),
    }
    assert headline(Measurements({}, {}, sections, {})) == [
        ("drift of long chains from noise", "1.4 ± 0.2", "from data: 2 ± 0.5"),
        ("denoised by descent, σ = 0.3", "22 ± 0.1 dB", "Wiener: 20 ± 0.1 dB"),
        ("AUROC, mirrored digits", "0.82", "5-NN: 0.8"),
    ]


def test_headlines_are_figures_that_the_sections_of_the_shipped_energy_have() -> None:
    (folder,) = PRETRAINED.glob("step-*")
    sections = json.loads((folder / "facts.json").read_text(encoding="utf-8"))["figures"]["sections"]
    for card in HEADLINE:
        names = {f["name"] for kind in ("metrics", "baselines") for f in sections[card.section][kind]}
        assert {card.figure, *card.beside.values()} <= names


def test_a_picture_that_was_not_drawn_is_not_replaced_by_an_older_one(tmp_path: Path) -> None:
    sections = {name: SectionRecord((Metric("a", 1.0),), (), "How.", 2.0) for name in ("fidelity", "ood")}
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
