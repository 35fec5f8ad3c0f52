"""The flow of an evaluation: each section on disk before the next, one checkpoint, figures of no other weights."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
import torch

from ebmnist import measuring, pipeline, updating
from ebmnist.cli import main
from ebmnist.errors import BadInput
from ebmnist.evaluation import EvaluationContext, Metric, SectionResult, runner
from ebmnist.exporting import export
from ebmnist.random import Rng
from ebmnist.reporting import atomic, load_checkpoint
from ebmnist.reporting.measurements import read_measurements
from ebmnist.reporting.parts import write_parts
from ebmnist.reporting.plots import SECTION_FIGURES
from ebmnist.reporting.report import Part

TINY = ["--energy.width", "4", "--training.n_steps", "1", "--training.start.size", "130"]


@dataclass(frozen=True)
class Fine:
    """Measures the mean energy of a little noise."""

    @classmethod
    def quick(cls) -> Self:
        return cls()

    def measure(self, subject: EvaluationContext, rng: Rng) -> SectionResult:
        x = rng.uniform((4, 1, 28, 28))
        return SectionResult((Metric("mean E", float(subject.energy(x).mean()), 0.1),), (), {}, "By hand.")


def raising(error: BaseException) -> type[Fine]:
    """A section that meets what no section foresees."""

    class Broken(Fine):
        def measure(self, subject: EvaluationContext, rng: Rng) -> SectionResult:  # noqa: ARG002
            raise error

    return Broken


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two updates that no test changes."""
    path = tmp_path_factory.mktemp("runs") / "r"
    assert main(["train", "smoke", "--out", str(path), "--training.n_updates", "2", *TINY]) == 0
    return path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "r"))


def sections(monkeypatch: pytest.MonkeyPatch, **made: type[Fine]) -> None:
    monkeypatch.setattr(runner, "REGISTRY", made)


def test_each_section_is_on_disk_before_the_next_begins(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections(monkeypatch, a=Fine, b=raising(MemoryError()), c=Fine)
    on_disk = []
    for event in pipeline.evaluate(run):
        if isinstance(event, runner.SectionStarted):
            file = run / "evaluation.json"
            found = read_measurements(file) if file.exists() else None
            on_disk.append(found and (list(found.sections), list(found.failures)))
    assert on_disk == [None, (["a"], []), (["a"], ["b"])]
    assert list(read_measurements(run / "evaluation.json").sections) == ["a", "c"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate"), "OutOfMemoryError: CUDA out of memory."),
        (RuntimeError("shapes"), "RuntimeError: shapes"),
        (KeyError("x"), "KeyError: 'x'"),
        (AssertionError(), "AssertionError"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (OSError(errno.EIO, "Input/output error"), "OSError: [Errno 5] Input/output error"),
    ],
)
def test_whatever_a_section_raises_costs_it_alone(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, says: str
) -> None:
    sections(monkeypatch, a=Fine, broken=raising(error), z=Fine)
    assert main(["evaluate", str(run)]) == 1
    found = read_measurements(run / "evaluation.json")
    assert found.failures == {"broken": f"broken: {says}"}
    assert list(found.sections) == ["a", "z"]
    said = capsys.readouterr().err
    assert f"not measured: broken: {says}" in said
    assert "Traceback" not in said
    assert says.split(":")[0] in (run / "report.html").read_text(encoding="utf-8")


def test_where_an_unforeseen_fault_arose_is_in_the_log(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sections(monkeypatch, broken=raising(IndexError("out of range")))
    with caplog.at_level("DEBUG", "ebmnist"):
        list(pipeline.evaluate(run))
    assert "in measure" in caplog.text
    assert "IndexError: out of range" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, BrokenPipeError])
def test_what_ends_the_program_passes_a_section(
    run: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    sections(monkeypatch, a=Fine, broken=raising(error()), z=Fine)
    with pytest.raises(error):
        list(pipeline.evaluate(run))
    assert list(read_measurements(run / "evaluation.json").sections) == ["a"]


def test_what_ends_before_a_section_is_measured_leaves_out_free_for_the_next(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, command = tmp_path / "out", ["evaluate", str(run), "--out", str(tmp_path / "out")]
    sections(monkeypatch, stopped=raising(KeyboardInterrupt()))
    assert main(command) == 130
    assert main(["evaluate", str(tmp_path / "nowhere"), "--out", str(out)]) == 2
    sections(monkeypatch, a=Fine)
    assert main(command) == 0
    assert list(read_measurements(out / "evaluation.json").sections) == ["a"]


def test_what_json_does_not_know_fails_its_section_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Foreign(Fine):
        """Measures a tensor, not a number."""

        def measure(self, subject: EvaluationContext, rng: Rng) -> SectionResult:  # noqa: ARG002
            return SectionResult((Metric("n", 1.0, note=torch.ones(1)),), (), {}, "")  # type: ignore[arg-type]

    sections(monkeypatch, foreign=Foreign, fine=Fine)
    list(pipeline.evaluate(run))
    found = read_measurements(run / "evaluation.json")
    assert list(found.sections) == ["fine"]
    assert found.failures["foreign"].startswith("foreign: TypeError: ")


def test_whatever_drawing_raises_costs_the_picture_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(*_: object, **__: object) -> Path:
        raise MemoryError

    sections(monkeypatch, landscape=Fine, fine=Fine)
    monkeypatch.setitem(SECTION_FIGURES, "landscape", unable)
    list(pipeline.evaluate(run))
    found = read_measurements(run / "evaluation.json")
    assert found.failures == {"landscape": "landscape: its picture, MemoryError"}
    assert list(found.sections) == ["landscape", "fine"]


def test_a_disk_that_fills_up_keeps_the_sections_before(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    sections(monkeypatch, a=Fine, b=Fine)
    flow = pipeline.evaluate(run)
    for event in flow:
        if isinstance(event, runner.SectionStarted) and event.name == "b":
            break
    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(BadInput, match=r"evaluation\.json: not written \(No space left on device\); free some"):
        list(flow)
    assert list(read_measurements(run / "evaluation.json").sections) == ["a"]
    assert [p for p in run.rglob("*") if p.name.startswith(".")] == []


def test_two_evaluations_at_once_keep_each_others_sections(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections(monkeypatch, a=Fine, b=Fine)
    one, other = (pipeline.evaluate(run, only=(name,)) for name in "ab")
    next(one), next(other)
    list(one), list(other)
    assert list(read_measurements(run / "evaluation.json").sections) == ["a", "b"]


def test_a_training_beside_does_not_change_what_is_measured(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections(monkeypatch, a=Fine)
    made = measuring.make_trained
    read = []

    def meanwhile(*args: object) -> object:
        if not read:  # after the checkpoint was found, before the model is made of it
            read.append(list(pipeline.resume(run, ["--training.n_updates", "3"])))
        return made(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(measuring, "make_trained", meanwhile)
    list(pipeline.evaluate(run))
    found = read_measurements(run / "evaluation.json")
    assert found.model["updates"] == 2
    with pytest.raises(
        BadInput, match=r"its metrics are of other weights \(update 2, \w+\) than these \(update 3, \w+\)"
    ):
        export(run, run.parent / "out")
    assert not (run.parent / "out").exists()


def test_a_damaged_environment_is_deleted_as_its_message_says_and_the_run_exported(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections(monkeypatch, a=Fine)
    list(pipeline.evaluate(run))
    (run / "env.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadInput, match=r"env\.json: damaged .*; delete it"):
        export(run, run.parent / "out")
    (run / "env.json").unlink()
    facts = load_checkpoint(export(run, run.parent / "out")).facts
    assert "made" not in facts
    assert facts["step"] == 2


def test_pictures_and_figures_of_other_weights_are_left_out_and_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sections(monkeypatch, fidelity=Fine)
    list(pipeline.evaluate(run))
    old = read_measurements(run / "evaluation.json").model["checkpoint"]
    write_parts(run / "figures" / "plots.json", [Part("Drawn of update 2")], old)

    def shown() -> dict[str, object]:
        capsys.readouterr()
        assert main(["info", str(run), "--json"]) == 0
        facts: dict[str, object] = json.loads(capsys.readouterr().out)
        return facts

    (run / "figures" / ".tmp-samples.png-7").write_text("")
    assert shown()["figures"]["model"]["updates"] == 2  # type: ignore[index]
    assert shown()["pictures"] == []
    list(pipeline.evaluate(run))
    assert "Drawn of update 2" in (run / "report.html").read_text(encoding="utf-8")
    assert not (run / "figures" / ".tmp-samples.png-7").exists()

    list(pipeline.resume(run, ["--training.n_updates", "3"]))
    facts = shown()
    assert "figures" not in facts
    (run_plots, figures) = facts["left out"]  # type: ignore[misc]
    assert run_plots.endswith(f"plots.json: its pictures are of other weights; draw again with: ebmnist report {run}")
    assert figures.endswith(f"; measure these with: ebmnist evaluate {run}")
    list(pipeline.evaluate(run))
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Drawn of update 2" not in page
    assert "its pictures are of other weights" in page
    assert "<dt>resumed</dt><dd>at update 2, " in page


def read_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every change below `path`, as a read-only file system does."""

    def refusing(real: Callable[..., object]) -> Callable[..., object]:
        def call(self: Path, *args: object, **kwargs: object) -> object:
            mode = str(args[0] if args else kwargs.get("mode", "w" if real is Path.write_bytes else "r"))
            changes = real.__name__ != "open" or set(mode) & set("wax+")
            if changes and self.is_relative_to(path):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
            return real(self, *args, **kwargs)

        return call

    for name in ("open", "mkdir", "rename", "replace", "write_bytes"):
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))


@pytest.mark.parametrize(
    "words", [["evaluate"], ["evaluate", "--only", "a"], ["report"], ["resume"], ["run"], ["train"]]
)
def test_on_a_read_only_file_system_nothing_is_measured_first(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    sections(monkeypatch, a=raising(AssertionError("measured")))
    monkeypatch.setattr("ebmnist.run_plots.run_plots", lambda _: pytest.fail("drawn"))
    monkeypatch.setattr(updating, "fit", lambda *_: pytest.fail("trained"))
    read_only(run, monkeypatch)
    command, *more = words
    new = ["smoke", "--out", str(run / "new")]
    capsys.readouterr()
    assert main([command, *(new if command in ("run", "train") else [str(run)]), *more]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ebmnist: ")]
    assert len(said) == 1
    assert "not written (Read-only file system); make it writable or choose another folder" in said[0]
    assert "--out" not in said[0]
