"""A run killed before its first checkpoint: every verb says the way out, and it is one."""

import json
from pathlib import Path

import pytest

from ebmnist import pipeline
from ebmnist.artifacts import RunFolder, load_checkpoint
from ebmnist.cli import main

TINY = [
    *("--energy.width", "4", "--training.n_updates", "2", "--training.n_steps", "2", "--training.batch_size", "8"),
    *("--training.start.size", "16", "--artifacts.checkpoint_every", "1", "--seed", "3"),
]


def test_it_begins_again_with_its_recipe_and_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "finish", lambda *_, **__: iter(()))  # what follows the training takes long
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for path in (whole, killed):
        assert main(["train", "smoke", "--out", str(path), *TINY]) == 0
    for checkpoint in (killed / "checkpoints").iterdir():
        checkpoint.rename(tmp_path / f"gone-{checkpoint.name}")  # as if it had died after its records
    capsys.readouterr()
    for words in (
        ["resume", str(killed)],
        ["info", str(killed)],
        ["sample", str(killed), "--out", str(tmp_path / "x.png")],
    ):
        assert main(words) == 2
        assert f"ebmnist resume {killed} --restart" in capsys.readouterr().err
    assert main(["resume", str(killed), "--restart"]) == 0
    one, other = load_checkpoint(whole), load_checkpoint(killed)
    assert all(bool((one.tensors[name] == other.tensors[name]).all()) for name in one.tensors)
    assert [r.step for r in RunFolder.open(killed).read_metrics()] == [1, 2]
    assert main(["resume", str(killed), "--restart"]) == 2
    assert "leave out --restart" in capsys.readouterr().err


def test_it_is_for_runs_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", str(tmp_path), "--restart"]) == 2
    assert "no run folder" in capsys.readouterr().err
    assert main(["info", str(tmp_path)]) == 2
    assert "choose the folder of a run" in capsys.readouterr().err


def test_a_run_folder_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "r\udcff"
    assert main(["train", "smoke", "--out", str(path), *TINY]) == 0
    assert isinstance(json.loads((path / "env.json").read_text(encoding="utf-8")), dict)
