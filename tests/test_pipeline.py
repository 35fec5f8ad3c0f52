"""The whole flow on a tiny recipe: what a run leaves, Ctrl-C, kill −9 and resume to the bit, divergence, full disks."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ebmnist import pipeline
from ebmnist.cli import main
from ebmnist.config import Recipe, load_recipe
from ebmnist.data.base import Dataset
from ebmnist.errors import BadInput
from ebmnist.reporting import Checkpoint, RunFolder, atomic, history, load_checkpoint
from ebmnist.reporting.history import read_history
from ebmnist.restoring import denoised
from ebmnist.sampling import ReplayBuffer
from ebmnist.trained import load
from ebmnist.training import Diverged

FIELDS = [
    *("--energy.width", "4", "--energy.spectral_norm", "true", "--training.n_steps", "2"),
    *("--training.batch_size", "8", "--training.start.size", "16", "--evaluation.n_steps", "4"),
    *("--evaluation.n_images", "12", "--artifacts.checkpoint_every", "10", "--training.schedule.kind", "constant"),
]


def recipe(n_updates: int, *more: str, name: str = "smoke") -> Recipe:
    return load_recipe(name, [*FIELDS, "--training.n_updates", str(n_updates), *more])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two updates that no test changes."""
    path = tmp_path_factory.mktemp("runs") / "trained"
    exhaust(pipeline.train(recipe(2), path))
    return path


def exhaust(events: pipeline.Events) -> list[pipeline.Event]:
    return list(events)


def assert_same_checkpoint(a: Path, b: Path) -> None:
    one, other = load_checkpoint(a), load_checkpoint(b)
    assert one.tensors.keys() == other.tensors.keys()
    for name, value in one.tensors.items():
        assert torch.equal(value, other.tensors[name]), name
    assert one.facts["guard"] == other.facts["guard"]
    assert one.facts["step"] == other.facts["step"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more"),
    [("smoke", []), ("mnist", ["--sampling.n_hold", "1", "--sampling.n_anneal", "3", "--evaluation.n_steps", "8"])],
)
def test_a_run_leaves_all_it_promises(name: str, more: list[str], tmp_path: Path) -> None:
    events = exhaust(pipeline.run(recipe(4, *more, name=name), tmp_path / "run"))
    run = RunFolder.open(tmp_path / "run")
    assert [e.record.step for e in events if isinstance(e, pipeline.Updated)] == [1, 2, 3, 4]
    assert [r.step for r in run.read_metrics()] == [1, 2, 3, 4]
    drawn = {e.path.name for e in events if isinstance(e, pipeline.Drawn)}
    assert {
        "samples.png", "samples-beside-data.png", "chain.png", "chain.webp", "denoising.png", "energies.png",
        "curves.png", "replay.png", "report.html",
    } <= drawn  # fmt: skip
    page = run.report.read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "data:image/png;base64" in page
    assert load(tmp_path / "run").step == 4


def test_resumed_is_uninterrupted_to_the_bit(tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    exhaust(pipeline.train(recipe(20), whole))
    exhaust(pipeline.train(recipe(10), halves))
    exhaust(pipeline.resume(halves, ["--training.n_updates", "20"]))
    assert_same_checkpoint(whole, halves)
    a, b = (RunFolder.open(p).read_metrics() for p in (whole, halves))
    assert [r._replace(seconds=0) for r in a] == [r._replace(seconds=0) for r in b]


@pytest.mark.slow
def test_killed_and_resumed_is_uninterrupted_to_the_bit(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    exhaust(pipeline.train(recipe(60), whole))
    command = [sys.executable, "-m", "ebmnist.cli", "train", "smoke", "--out", str(killed), *FIELDS]
    process = subprocess.Popen(
        [*command, "--training.n_updates", "60"], stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        deadline = time.monotonic() + 120
        while not (killed / "checkpoints" / "step-00000010").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    exhaust(pipeline.resume(killed))
    assert_same_checkpoint(whole, killed)
    assert [r.step for r in RunFolder.open(killed).read_metrics()] == list(range(1, 61))


def test_a_resume_beside_a_training_is_refused_at_once_and_changes_nothing(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "run"
    exhaust(pipeline.train(recipe(12), whole))
    events = pipeline.train(recipe(12), path)
    for _ in range(11):
        next(events)
    with pytest.raises(BadInput, match=rf"^{path}\S+: another process writes this run; wait for it or stop it$"):
        exhaust(pipeline.resume(path))
    exhaust(events)
    assert_same_checkpoint(whole, path)
    assert not (path / "history.jsonl").exists()


def test_a_resume_locks_the_run_before_it_looks_at_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhaust(pipeline.train(recipe(1), tmp_path / "run"))
    looked = []

    def look(path: Path) -> Checkpoint:
        with pytest.raises(BadInput, match="another process writes this run"):
            RunFolder.open(path).lock()
        looked.append(path)
        return load_checkpoint(path)

    monkeypatch.setattr(pipeline, "load_checkpoint", look)
    exhaust(pipeline.resume(tmp_path / "run", ["--training.n_updates", "2"]))
    assert looked == [tmp_path / "run"]


def test_a_run_without_a_checkpoint_begins_again_and_says_so(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    exhaust(pipeline.train(recipe(10), whole))
    events = pipeline.train(recipe(10), killed)
    for _ in range(7):
        next(events)
    del events  # as a kill: nothing is saved
    for where in ("", "figures", "checkpoints"):
        (killed / where / ".tmp-x-1").write_text("")
    with pytest.raises(
        BadInput, match=rf"^{killed}: no checkpoint in it; begin it again with: ebmnist resume {killed} --restart$"
    ):
        load(killed)
    first, *_ = exhaust(pipeline.resume(killed, restart=True))
    assert first == pipeline.Resumed(0, {})
    assert_same_checkpoint(whole, killed)
    assert [r.step for r in RunFolder.open(killed).read_metrics()] == list(range(1, 11))
    assert [p for p in killed.rglob("*") if p.name.startswith(".")] == []


def test_what_a_resume_changes_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run"
    exhaust(pipeline.train(recipe(2), path))
    begun = (path / "env.json").read_bytes()
    exhaust(pipeline.resume(path))  # has nothing to do, and so nothing to record
    assert read_history(path / "history.jsonl") == []
    monkeypatch.setattr(history, "describe_environment", lambda: {"date": "later", "commit": "c0ffee0"})
    first, *_ = exhaust(pipeline.resume(path, ["--training.n_updates", "4", "--training.lr=1e-5"]))
    changes = {"training.n_updates": [2, 4], "training.lr": [1.5e-3, 1e-5]}
    assert first == pipeline.Resumed(2, changes)
    exhaust(pipeline.resume(path, ["--training.n_updates", "5"]))
    here = {"date": "later", "commit": "c0ffee0"}
    assert read_history(path / "history.jsonl") == [
        history.Session(2, changes, here),
        history.Session(4, {"training.n_updates": [4, 5]}, here),
    ]
    assert load_recipe(str(path / "recipe.yaml")).fields == load_checkpoint(path).facts["recipe"]
    assert (path / "env.json").read_bytes() == begun


def test_a_resume_from_a_damaged_checkpoint_says_how_to_resume_from_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "run"
    events = pipeline.train(recipe(11), path)
    exhaust(events)
    older, newest = sorted((path / "checkpoints").iterdir())
    (newest / "tensors.safetensors").write_bytes(b"")
    with pytest.raises(
        BadInput, match=rf"use the one before: {older}; resume goes on from the newest: move a damaged one out"
    ):
        exhaust(pipeline.resume(path))
    assert sorted((path / "checkpoints").iterdir()) == [older, newest]
    shutil.move(newest, tmp_path)
    first, *_ = exhaust(pipeline.resume(path))
    assert first == pipeline.Resumed(10, {})
    assert load(path).step == 11


def test_a_resume_on_other_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run"
    exhaust(pipeline.train(recipe(2), path))
    load_data = Recipe.load_data

    def swapped(self: Recipe) -> Dataset:
        data = load_data(self)
        return data._replace(train=data.validation)

    monkeypatch.setattr(Recipe, "load_data", swapped)
    with pytest.raises(BadInput, match=rf"^{path}: was trained on other images than these; .* --data\.root$"):
        exhaust(pipeline.resume(path, ["--training.n_updates", "4"]))


def test_interrupted_before_the_first_update_it_can_be_begun_again(tmp_path: Path) -> None:
    events = pipeline.train(recipe(3), tmp_path / "run")
    next(events)
    events.close()
    again = pipeline.resume(tmp_path / "run", restart=True)
    assert next(again) == pipeline.Resumed(0, {})
    with pytest.raises(KeyboardInterrupt, match="ebmnist resume"):
        again.throw(KeyboardInterrupt())
    exhaust(pipeline.resume(tmp_path / "run", restart=True))
    assert load(tmp_path / "run").step == 3
    with pytest.raises(BadInput, match=r"has a checkpoint to go on from; leave out --restart$"):
        exhaust(pipeline.resume(tmp_path / "run", restart=True))


def as_nobody(work: Callable[[], int]) -> int:
    """The exit code of `work` in a process of a user who owns nothing here; root may do everything."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            if os.geteuid() == 0:
                os.setegid(65534)
                os.seteuid(65534)
            code = work()
        except SystemExit as refused:  # the parser's own refusal
            code = int(str(refused.code))
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("where", "mode"), [("", 0o000), ("", 0o500), ("checkpoints", 0o500), ("checkpoints/step-00000002", 0o600)]
)
def test_without_permission_every_verb_is_one_line(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], where: str, mode: int
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "r"))
    for path in (run, *run.rglob("*")):
        os.chown(path, *((65534, 65534) if os.geteuid() == 0 else (-1, -1)))
    for path in (tmp_path, *list(tmp_path.parents)[:2]):
        path.chmod(0o711)
    (run / where).chmod(mode)
    commands = [
        ["info"],
        ["evaluate", "--quick"],
        ["report"],
        ["resume", "--training.n_updates=3"],
        ["export", "--out=x"],
    ]
    if mode == 0o500:
        commands = [["resume", "--training.n_updates=3"]] if where in ("", "checkpoints") else []
    try:
        for command, *more in commands:
            capfd.readouterr()
            assert as_nobody(lambda command=command, more=more: main([command, str(run), *more])) == 2, command  # type: ignore[misc]
            said = [line for line in capfd.readouterr().err.splitlines() if line]
            assert [line for line in said if line.startswith("ebmnist")] == said[-1:], said
            assert "Permission denied" in said[-1]
    finally:
        (run / where).chmod(0o700)


def test_interrupted_saves_and_resumes(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    exhaust(pipeline.train(recipe(9), whole))
    events = pipeline.train(recipe(9), stopped)
    for _ in range(3):
        next(events)
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt())
    assert load(stopped).step == 3
    exhaust(pipeline.resume(stopped))
    assert_same_checkpoint(whole, stopped)


def test_interrupted_in_the_middle_of_an_update_it_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    exhaust(pipeline.train(recipe(4, "--artifacts.checkpoint_every", "2"), whole))
    put, calls = ReplayBuffer.put, []

    def press(self: ReplayBuffer, *args: Any) -> None:
        put(self, *args)
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(ReplayBuffer, "put", press)
    with pytest.raises(KeyboardInterrupt, match=f"^interrupted, saved at update 2; go on .* resume {stopped}$"):
        exhaust(pipeline.train(recipe(4, "--artifacts.checkpoint_every", "2"), stopped))
    assert load(stopped).step == 2  # update 3 was whole, but its state has been altered since
    exhaust(pipeline.resume(stopped))
    assert_same_checkpoint(whole, stopped)


@pytest.mark.slow
def test_ctrl_c_on_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "ebmnist.cli", "train", "smoke", "--out", str(out), *FIELDS]
    process = subprocess.Popen([*command, "--training.n_updates", "100000"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out / "checkpoints" / "step-00000010").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"ebmnist resume {out}" in said.replace("\n", "")
    assert load(out).step >= 10


def test_a_run_without_a_guard_that_diverges_says_so_and_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    wild = recipe(40, "--training.lr", "1e30", "--training.guard.enabled", "false", "--energy.spectral_norm", "false")
    with pytest.raises(Diverged, match="no longer finite"):
        exhaust(pipeline.train(wild, tmp_path / "run"))
    assert RunFolder.open(tmp_path / "run").read_metrics()


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = pipeline.train(recipe(20), tmp_path / "run")
    for event in events:
        if isinstance(event, pipeline.Saved):
            break

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(BadInput, match="space"):
        exhaust(events)
    monkeypatch.undo()
    assert load(tmp_path / "run").step == 10


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("energy.width=6", "the weights are of that architecture; leave it at 4"),
        ("energy.kind=mlp", "the weights are of that architecture"),
        ("seed=7", "the random streams go on from where they are; leave it at 0"),
        ("data.n_validation=100", "the weights were trained on those images"),
        ("data.kind=fashion_mnist", "the weights were trained on those images"),
        ("training.start.kind=noise", "the saved chains are of that start"),
        ("training.start.size=17", "so many chains are saved; leave it at 16"),
    ],
)
def test_what_a_resumed_run_cannot_change_is_one_line_and_changes_nothing(
    trained: Path, override: str, why: str
) -> None:
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match=rf"^--{override.split('=')[0]}: cannot be changed on resume: {why}") as refusal:
        exhaust(pipeline.resume(trained, [f"--{override}", "--training.n_updates=9"]))
    assert "\n" not in str(refusal.value)
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("start", ["noise", "data"])
def test_short_run_and_cd_k_train_too(tmp_path: Path, start: str) -> None:
    fields = [f for f in FIELDS if f not in ("--training.start.size", "16")]
    other = load_recipe("smoke", [*fields, "--training.n_updates", "2", "--training.start.kind", start])
    exhaust(pipeline.train(other, tmp_path / "run"))
    assert load(tmp_path / "run").step == 2


def test_a_loaded_model_cleans_and_scores(tmp_path: Path, rng: torch.Generator) -> None:
    exhaust(pipeline.train(recipe(2), tmp_path / "run"))
    model = load(tmp_path / "run")
    x = torch.rand(3, 1, 28, 28, generator=rng)
    assert model(x).shape == (3,)
    assert denoised(model, x, 0.2, rng).shape == x.shape
