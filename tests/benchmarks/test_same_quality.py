"""Runs in, table out: the spread over seeds, the paths' difference seed by seed, failures included."""

import argparse
import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from same_quality import NATIVE, TORCH, Run, publish, table


def test_spread_over_seeds_and_difference_seed_by_seed():
    """Distances of 10, 20 and 30 have a standard deviation of 10; differences of 3, 6 and 9 a standard error of √3."""
    native = [Run(0, 10.0, 5.0), Run(1, 20.0, 6.0), Run(2, 30.0, 7.0)]
    torchs = [Run(0, 7.0, 20.0), Run(1, 14.0, 20.0), Run(2, 21.0, 20.0)]
    text = "\n".join(table({NATIVE: native, TORCH: torchs}))
    assert f"| {NATIVE} | 10.0, 20.0, 30.0 | 20.0 | 10.0 | 6 |" in text
    assert f"| {TORCH} | 7.0, 14.0, 21.0 | 14.0 | 7.0 | 20 |" in text
    assert "+3.0, +6.0, +9.0; mean 6.0 ± 1.7" in text
    assert "trial" not in text


def test_one_seed_has_no_spread():
    text = "\n".join(table({NATIVE: [Run(0, 10.0, 5.0)], TORCH: [Run(0, 7.0, 20.0)]}))
    assert f"| {NATIVE} | 10.0 | 10.0 | – | 5 |" in text
    assert "not to be quoted" in text


def test_a_failure_is_shown_with_its_reason_and_enters_no_figure():
    native = [Run(0, 10.0, 5.0), Run(1, None, 2.0, "it diverged"), Run(2, 12.0, 5.0)]
    text = "\n".join(table({NATIVE: native, TORCH: [Run(0, 7.0, 20.0), Run(1, 9.0, 20.0), Run(2, 8.0, 20.0)]}))
    assert f"| {NATIVE} | 10.0, failed, 12.0 | 11.0 | 1.4 | 4 |" in text
    assert f"{NATIVE}, seed 1, failed: it diverged" in text
    assert "seed by seed: +3.0, +4.0; mean 3.5 ± 0.5" in text


def test_raw_figures_are_written_beside_the_table(tmp_path):
    args = argparse.Namespace(updates=20, n=256, steps=16, out=tmp_path / "new")
    publish({NATIVE: [Run(0, 10.0, 5.0)], TORCH: [Run(0, None, 20.0, "why")]}, args)
    raw = json.loads((tmp_path / "new/same_quality.json").read_text(encoding="utf-8"))
    assert raw["settings"] == {"recipe": "mnist", "updates": 20, "n": 256, "steps": 16}
    assert raw["runs"][NATIVE] == [{"seed": 0, "distance": 10.0, "seconds": 5.0, "failure": None}]
    assert raw["runs"][TORCH][0]["failure"] == "why"
    assert "20 updates, seeds 0;" in (tmp_path / "new/same_quality.md").read_text(encoding="utf-8")
