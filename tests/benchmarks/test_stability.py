"""benchmarks/stability.py: what counts as healthy, and the table."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from ebmnist.data import Dataset, Split

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from stability import Run, done, stress_of, table, train

IMAGES = torch.rand(256, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def dataset(images):
    split = Split(images, torch.zeros(len(images), dtype=torch.int64))
    return Dataset("noise", split, Split(IMAGES, split.labels), split)


@pytest.mark.parametrize("guarded", [True, False])
def test_a_few_updates_of_a_small_recipe_end_healthy(guarded):
    run = train("smoke", 1, 0, 4, dataset(IMAGES), guarded=guarded)
    assert (run.healthy, run.end, run.guarded) == (True, "healthy", guarded)
    assert run.distance > 0


def test_what_is_not_finite_is_not_healthy_and_says_so():
    run = train("smoke", 1, 0, 4, dataset(IMAGES.where(IMAGES < 0.9, torch.nan)), guarded=False)
    assert not run.healthy
    assert "not finite" in run.end


def test_the_table_counts_each_kind_and_names_the_fallen():
    runs = [
        Run(
            "as it is",
            True,
            seed,
            healthy,
            "healthy" if healthy else "a weight is not finite",
            3,
            1.0,
            None,
            7.0 if healthy else None,
        )
        for seed, healthy in ((0, True), (1, False))
    ]
    rows = table(runs, "mnist", 10).splitlines()
    assert rows[2] == "| as it is | on | 1 of 2 | 7.0 ± – (1) | 3.0 | seed 1: a weight is not finite |"
    assert len([row for row in rows if row.startswith("| as it is")]) == 1


def test_a_stress_is_named_by_its_rate():
    assert [stress_of(times) for times in (1, 5, 2.5)] == ["as it is", "learning rate × 5", "learning rate × 2.5"]


def test_what_was_done_is_taken_up_and_nothing_else(tmp_path):
    run = Run("as it is", True, 0, True, "healthy", 3, 1.0, "0123456789")
    report = tmp_path / "stability.json"
    with pytest.raises(SystemExit, match="is not there"):
        done(report, "mnist", 10)
    report.write_text(json.dumps({"facts": {"recipe": "mnist", "updates": 10}, "runs": [asdict(run)]}))
    assert done(report, "mnist", 10) == [run]
    assert table([run], "mnist", 10).rstrip().endswith("Commit: 0123456.")
    with pytest.raises(SystemExit, match="has runs of mnist, 10 updates, not of mnist, 20"):
        done(report, "mnist", 20)
