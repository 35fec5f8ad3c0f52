"""benchmarks/ablation.py: every change is one the recipe takes, and the table."""

import argparse
import json
import sys
from pathlib import Path

import pytest

from ebmnist.config import load_recipe

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from ablation import OWN, Run, measure, publish, table, variants


@pytest.mark.parametrize("recipe", sorted(OWN))
def test_every_variant_is_the_recipe_with_something_changed(recipe):
    fields = load_recipe(recipe).fields
    for name, overrides in variants(recipe).items():
        assert (load_recipe(recipe, overrides).fields == fields) == (name == "as it is"), name


def test_a_row_has_the_mean_and_spread_over_seeds_and_failures_are_told():
    runs = [
        Run("as it is", 0, 10.0, 0.02, 0.9, 0.97, 1.0, 0, 5.0),
        Run("as it is", 1, 12.0, 0.04, 0.8, 0.95, 0.5, 1, 7.0),
        Run("walls", 0, *[None] * 5, 9, 3.0, "lost"),
    ]
    text = table(runs)
    assert "| as it is | 11.0 ± 1.4 | 0.030 ± 0.014 | 0.85 ± 0.07 | 0.960 ± 0.014 | 0.750 ± 0.354 | 0.5 | 6 |" in text
    assert "| walls | – | – | – | – | – | 9.0 | 3 |" in text
    assert "walls, seed 0, failed: lost" in text


def test_one_training_is_measured_and_written(tmp_path):
    args = argparse.Namespace(recipe="smoke", updates=2, seeds=1, n=256, steps=1, jobs=1, out=tmp_path)
    run = measure("smoke", "as it is", [], 0, args)
    assert run.failure is None
    assert run.distance is not None
    assert run.distance > 0
    assert run.odd is not None
    assert 0 < run.odd < 1
    publish([run], args)
    assert json.loads((tmp_path / "ablation-smoke.json").read_text(encoding="utf-8"))["runs"][0]["seed"] == 0
    assert "| as it is |" in (tmp_path / "ablation-smoke.md").read_text(encoding="utf-8")
