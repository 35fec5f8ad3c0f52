import math
import subprocess
import sys

import pytest

from ebmnist.artifacts import TensorBoard
from ebmnist.errors import BadInput
from ebmnist.training.base import StepRecord


def record(step):
    return StepRecord(step, *(step + i / 2 for i in range(len(StepRecord._fields) - 1)))


def test_what_is_logged_can_be_read(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoard(tmp_path)
    for step in (1, 2):
        board.log(record(step))
    board.log(record(3)._replace(loss=math.nan))
    board.close()
    resumed = TensorBoard(tmp_path, after=2)
    resumed.log(record(3))
    resumed.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    names = {f"training/{name}" for name in (*StepRecord._fields[1:], "gap")}
    assert set(events.Tags()["scalars"]) == names
    for name in names:
        told = [(e.step, e.value) for e in events.Scalars(name)]
        assert told == [(s, pytest.approx(getattr(record(s), name.split("/")[1]))) for s in (1, 2, 3)]


def test_without_the_package_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(BadInput, match=r"^tensorboard is not installed: pip install ebmnist\[tensorboard\]$"):
        TensorBoard(tmp_path)


def test_artifacts_are_light_to_import():
    check = "import ebmnist.artifacts, sys; sys.exit(bool({'matplotlib', 'tensorboard'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", check], check=True)
