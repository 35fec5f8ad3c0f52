import math
import subprocess
import sys

import pytest

from ebmnist.errors import BadInput
from ebmnist.reporting import TensorBoard, check_tensorboard
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


@pytest.mark.parametrize(
    "error",
    [
        "ModuleNotFoundError(\"No module named 'pkg_resources'\", name='pkg_resources')",
        "ImportError('libstdc++.so.6: version not found')",
        "AttributeError('np.bool8')",
        "TypeError('Descriptors cannot be\\ncreated directly')",
        "OSError('libfoo.so')",
        "SyntaxError('invalid syntax')",
    ],
)
def test_one_that_is_there_and_cannot_be_imported_is_told_from_one_that_is_not(tmp_path, monkeypatch, error):
    (tmp_path / "tensorboard.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [n for n in sys.modules if n.split(".")[0] == "tensorboard" or n.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    said = r"^tensorboard is installed and cannot be imported \({}: [^\n]+\); mend that, or leave out [^\n]+$"
    with pytest.raises(BadInput, match=said.format(error.split("(")[0])):
        check_tensorboard()


def test_artifacts_are_light_to_import():
    check = "import ebmnist.reporting, sys; sys.exit(bool({'matplotlib', 'tensorboard'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", check], check=True)
