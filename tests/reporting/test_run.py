import errno
import json
import math
import os
from pathlib import Path

import pytest
import torch
import yaml

from ebmnist.errors import BadInput
from ebmnist.reporting import RunFolder, default_path, load_checkpoint
from ebmnist.reporting import run as run_module
from ebmnist.reporting.checkpoint import list_checkpoints
from ebmnist.training.base import Action, Decision, StepRecord

HEALTHY = Decision(Action.HEALTHY)
ROLLED_BACK = Decision(Action.ROLLED_BACK, ("loss is NaN", "NaN"))


def record(step, loss=0.1):
    return StepRecord(step, loss, *(step / (i + 3) for i in range(len(StepRecord._fields) - 2)))


def state(step):
    return {"tensors": {"w": torch.full((3,), float(step))}, "facts": {"step": step}}


@pytest.fixture
def run(tmp_path):
    with RunFolder.create(tmp_path / "runs" / "r", "seed: 0\n") as run:
        yield run


def test_a_new_run_holds_recipe_and_environment_and_can_be_taken_up(run):
    assert yaml.safe_load(run.recipe.read_text()) == {"seed": 0}
    assert json.loads(run.environment.read_text())["torch"] == torch.__version__
    again = RunFolder.open(run.path)
    assert again.read_metrics() == []
    assert again.read_events() == []
    files = ["checkpoints", "env.json", "figures", "metrics.jsonl", "recipe.yaml"]
    assert sorted(p.name for p in run.path.iterdir()) == files


def test_a_taken_path_is_refused_with_a_way_out_and_left_alone(run, tmp_path):
    with pytest.raises(BadInput, match=rf"^{run.path}: exists already; choose another folder, or .* {run.path}$"):
        RunFolder.create(run.path, "seed: 1\n")
    assert run.recipe.read_text() == "seed: 0\n"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match=rf"^{tmp_path}/file: exists already; choose another folder$"):
        RunFolder.create(tmp_path / "file", "")
    (tmp_path / "empty").mkdir()
    with RunFolder.create(tmp_path / "empty", "a: 1\n") as made:
        assert made.recipe.read_text() == "a: 1\n"


def test_what_is_no_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match=rf"^{path}: no run folder \(recipe.yaml is missing\); [^\n]+$"):
            RunFolder.open(path)


def test_a_run_that_cannot_be_made_leaves_nothing(tmp_path, largest_file):
    with largest_file(100), pytest.raises(BadInput, match="free some space"):
        RunFolder.create(tmp_path / "r", "seed: 0\n")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="not written"):
        RunFolder.create(tmp_path / "file" / "r", "")


def test_a_run_is_locked_from_its_first_moment(tmp_path, monkeypatch):
    path, refused = tmp_path / "r", []

    def meanwhile(*_):
        for begin in (lambda: RunFolder.create(path, ""), lambda: RunFolder(path).lock()):
            with pytest.raises(BadInput, match=r"^\S+: another process writes this run; [^\n]+$"):
                begin()
            refused.append(1)
        return {}

    monkeypatch.setattr(run_module, "describe_environment", meanwhile)  # between the folder and recipe.yaml
    with RunFolder.create(path, "seed: 0\n") as run, pytest.raises(BadInput, match="another process"):
        RunFolder.open(run.path).lock()
    assert len(refused) == 2
    with RunFolder.open(path) as run:
        run.lock()


@pytest.mark.parametrize("files", [[], ["env.json"], ["env.json", ".tmp-recipe.yaml-7", "figures/.tmp-x.png-7"]])
def test_what_a_killed_beginning_left_is_taken_over(tmp_path, files):
    path = tmp_path / "r"
    for folder in ("checkpoints", "figures"):
        (path / folder).mkdir(parents=True)
    for name in ("metrics.jsonl", "events.jsonl", *files):
        (path / name).write_text("{" if name in files else "")
    RunFolder.create(path, "seed: 1\n").close()
    assert json.loads((path / "env.json").read_text())["torch"] == torch.__version__
    assert sorted(p.name for p in path.rglob("*") if p.name.startswith(".")) == []


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints/step-00000001/facts.json", "figures/a.png", "mine"])
def test_what_is_more_than_a_beginning_is_left_alone(tmp_path, name):
    path = tmp_path / "r" / name
    path.parent.mkdir(parents=True)
    path.write_text("{}\n")
    with pytest.raises(BadInput, match="exists already"):
        RunFolder.create(tmp_path / "r", "")
    assert [p for p in (tmp_path / "r").rglob("*") if p.is_file()] == [path]


@pytest.mark.parametrize("call", range(12))
def test_a_refusal_at_any_call_of_a_beginning_leaves_nothing(tmp_path, monkeypatch, call):
    """A disk that is full, or a folder that may not be written, from the first call, the second, … on."""
    calls, path = [], tmp_path / "r"

    def refuse(name, real):
        def maybe(*args, **kwargs):
            if name == "open" and args[1:2] not in (("wb",), ("ab",)):
                return real(*args, **kwargs)
            calls.append(name)
            if len(calls) > call:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args, **kwargs)

        return maybe

    monkeypatch.setattr(run_module, "describe_environment", dict)
    for name in ("mkdir", "open", "replace"):
        monkeypatch.setattr(Path, name, refuse(name, getattr(Path, name)))
    monkeypatch.setattr(os, "fsync", refuse("fsync", os.fsync))
    refusal = ""
    try:
        RunFolder.create(path, "seed: 0\n").close()
    except BadInput as error:
        refusal = str(error)
    if refusal:
        assert "No space left on device" in refusal
        assert not path.exists()
    else:
        assert call >= len(calls) > 10
        assert (path / "recipe.yaml").read_text() == "seed: 0\n"


def test_temporary_files_go_when_a_run_is_taken_up_again(run):
    run.save(**state(1))
    run.close()
    for folder in (run.path, run.checkpoints, run.figures):
        (folder / ".tmp-a-7").mkdir()
        (folder / ".tmp-b.png-7").write_text("")
    with RunFolder.open(run.path) as again:
        again.rewind(1)
    assert [p for p in run.path.rglob("*") if p.name.startswith(".")] == []


def test_default_path_is_the_first_one_free(tmp_path):
    paths = []
    for _ in range(3):
        paths.append(default_path("mnist", tmp_path))
        RunFolder.create(paths[-1], "").close()
    assert [p.name for p in paths] == ["mnist", "mnist-2", "mnist-3"]
    assert default_path("mnist").parts == ("runs", "mnist")


def test_records_come_back_to_the_bit_and_the_file_is_strict_json(run):
    records = [
        record(1),
        record(2, math.nan),
        record(3, math.inf),
        record(4, -math.inf),
        record(5, -0.0),
        record(6, 5e-324),
    ]
    for r in records:
        run.log(r, HEALTHY)
    back = run.read_metrics()
    assert repr(back) == repr(records)
    assert all(type(r.step) is int for r in back)

    def refuse(name):
        raise AssertionError(name)

    for line in run.metrics.read_text().splitlines():
        json.loads(line, parse_constant=refuse)


def test_decisions_come_back_and_healthy_ones_are_not_written(run):
    run.log(record(1), HEALTHY)
    run.log(record(2), ROLLED_BACK)
    run.log(record(3), Decision(Action.HEALTHY, ("seen",)))
    run.log(record(4), HEALTHY)
    events = run.read_events()
    assert [(e.step, e.action, e.signals) for e in events] == [
        (2, Action.ROLLED_BACK, ("loss is NaN", "NaN")),
        (3, Action.HEALTHY, ("seen",)),
    ]
    assert all(e.time.endswith("+00:00") for e in events)
    assert len(run.read_metrics()) == 4


@pytest.mark.parametrize("missing", StepRecord._fields)
def test_other_columns_are_named(run, missing):
    run.log(record(1), HEALTHY)
    run.close()
    line = json.loads(run.metrics.read_text())
    del line[missing]
    run.metrics.write_text(json.dumps(line) + "\n")
    with pytest.raises(BadInput, match=rf"^\S+metrics.jsonl: line 1: {missing} is missing; [^\n]+$"):
        run.read_metrics()


@pytest.mark.parametrize("value", ["many", None, []])
def test_a_column_without_a_number_is_refused(run, value):
    run.metrics.write_text(json.dumps(record(1)._asdict() | {"lr": value}) + "\n")
    with pytest.raises(BadInput, match=r"^\S+metrics.jsonl: line 1: lr: expected a finite number, not [^\n]+$"):
        run.read_metrics()


@pytest.mark.parametrize("line", ['{"step": 1}', '{"step": 1, "action": "GREAT", "signals": [], "time": ""}'])
def test_a_line_that_is_no_event_is_refused(run, line):
    run.events.write_text(line + "\n")
    with pytest.raises(
        BadInput,
        match=r"^\S+events.jsonl: line 1: (action is missing|action: |signals is missing)[^\n]+$",
    ):
        run.read_events()


def test_save_keeps_the_newest(run):
    for step in range(5):
        run.save(**state(step), keep=2)
    assert list(list_checkpoints(run.checkpoints)) == [3, 4]


def test_rewind_goes_back_to_a_checkpoint(run):
    for step in range(1, 9):
        run.log(record(step), Decision(Action.LR_LOWERED, ("gap",)) if step in (3, 6) else HEALTHY)
        if step % 2 == 0:
            run.save(**state(step), keep=9)
    run.close()
    with RunFolder.open(run.path) as again:
        again.rewind(4)
        assert again.read_metrics() == [record(step) for step in range(1, 5)]
        assert [e.step for e in again.read_events()] == [3]
        again.log(record(5), HEALTHY)
        assert [r.step for r in again.read_metrics()] == [1, 2, 3, 4, 5]
        # Later checkpoints go when the next one is whole, and not before.
        assert list(list_checkpoints(again.checkpoints)) == [2, 4, 6, 8]
        again.save(**state(5), keep=9)
        assert list(list_checkpoints(again.checkpoints)) == [2, 4, 5]


def test_rewind_counts_lines_because_a_rollback_repeats_steps(run):
    def go(steps, decision=HEALTHY):
        for step in steps:
            run.log(record(step), decision if step == steps[-1] else HEALTHY)

    go(range(1, 5))
    run.save(**state(4))
    go(range(5, 8), ROLLED_BACK)  # back to 2
    run.save(**state(2))
    # The checkpoint of step 4 stems from before the rollback.
    assert list(list_checkpoints(run.checkpoints)) == [2]
    history = [1, 2, 3, 4, 5, 6, 7]
    go(range(3, 5))
    run.rewind(2)
    assert [r.step for r in run.read_metrics()] == history
    assert [e.step for e in run.read_events()] == [7]
    go(range(3, 6))
    run.save(**state(5))
    go(range(6, 9), ROLLED_BACK)
    run.rewind(5)
    assert [r.step for r in run.read_metrics()] == [*history, 3, 4, 5]
    assert [e.step for e in run.read_events()] == [7]


@pytest.mark.parametrize("step", range(5))
def test_rewind_without_a_checkpoint_drops_later_steps(run, step):
    for at in range(1, 5):
        run.log(record(at), ROLLED_BACK)
    run.rewind(step)
    assert [r.step for r in run.read_metrics()] == list(range(1, step + 1))
    assert [e.step for e in run.read_events()] == list(range(1, step + 1))


def test_a_second_writer_is_turned_away_before_it_changes_anything(run):
    for step in range(1, 4):
        run.log(record(step), HEALTHY)
    run.save(**state(3))
    run.log(record(4), HEALTHY)
    second = RunFolder.open(run.path)
    with pytest.raises(BadInput, match="another process writes this run"):
        second.rewind(3)
    assert [r.step for r in run.read_metrics()] == [1, 2, 3, 4]
    assert load_checkpoint(run.path).facts["step"] == 3
