"""benchmarks/stability.py: what counts as healthy, and the table."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from stability import Run, table, train

IMAGES = torch.rand(256, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("guarded", [True, False])
def test_a_few_updates_of_a_small_recipe_end_healthy(guarded):
    run = train("smoke", "as it is", 0, 4, IMAGES, guarded=guarded)
    assert (run.healthy, run.end, run.guarded) == (True, "healthy", guarded)


def test_what_is_not_finite_is_not_healthy_and_says_so():
    run = train("smoke", "as it is", 0, 4, IMAGES.where(IMAGES < 0.9, torch.nan), guarded=False)
    assert not run.healthy
    assert "not finite" in run.end


def test_the_table_counts_each_kind_and_names_the_fallen():
    runs = [
        Run("as it is", True, seed, healthy, "healthy" if healthy else "a weight is not finite", 3, 1.0)
        for seed, healthy in ((0, True), (1, False))
    ]
    rows = table(runs, "mnist", 10).splitlines()
    assert rows[2] == "| as it is | on | 1 of 2 | 3.0 | seed 1: a weight is not finite |"
    assert len([row for row in rows if row.startswith("| as it is")]) == 1
