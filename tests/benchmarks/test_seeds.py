"""benchmarks/seeds.py: all tasks, in order, in processes that share the cores; and their summary."""

import math
import os
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from seeds import each, summary


def test_results_come_in_the_order_of_the_tasks():
    assert list(each(math.pow, [(2, k) for k in range(5)], jobs=2)) == [1, 2, 4, 8, 16]
    assert list(each(math.pow, [], jobs=2)) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_share_the_cores(jobs):
    expected = max(1, (os.cpu_count() or 1) // jobs)
    assert list(each(threads, [(None,)] * 2, jobs=jobs)) == [expected] * 2


def threads(_: None) -> int:
    return torch.get_num_threads()


def test_what_a_task_raises_is_raised_here():
    with pytest.raises(ValueError, match="domain"):
        list(each(math.sqrt, [(-1,)], jobs=1))


@pytest.mark.parametrize(
    ("values", "said"), [([], "– – –"), ([2.0], "2.00 – –"), ([1.0, 2.0, 3.0, 2.0], "2.00 0.82 0.41")]
)
def test_what_few_values_do_not_tell_is_a_dash(values, said):
    assert " ".join(summary(values, 2)) == said
