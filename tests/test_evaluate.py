"""`ebmnist evaluate` and `compare`: what is written, what fails and how, with sections that take no time."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
import torch

from ebmnist import examination
from ebmnist.artifacts.measurements import Measurements, Section, read_measurements, write_measurements
from ebmnist.cli import main
from ebmnist.errors import BadInput
from ebmnist.evaluation import REGISTRY, Figure, Measured, Subject, Unmeasurable
from ebmnist.examination import headline


@dataclass(frozen=True)
class Fine:
    """Measures the mean energy of a little noise."""

    n: int = 8

    @classmethod
    def quick(cls) -> Self:
        return cls(n=4)

    def measure(self, subject: Subject, rng: torch.Generator) -> Measured:
        x = torch.rand((self.n, 1, 28, 28), generator=rng)
        value = float(subject.energy(x).mean())
        return Measured(
            (Figure("mean E", value, 0.1), Figure("n", self.n)), (Figure("floor: mean E", 0.0),), {}, "By hand."
        )


@dataclass(frozen=True)
class Sick(Fine):
    """Cannot be measured."""

    def measure(self, subject: Subject, rng: torch.Generator) -> Measured:  # noqa: ARG002
        raise Unmeasurable("sick: the energy is NaN")


@pytest.fixture(autouse=True)
def _few_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "REGISTRY", {"fine": Fine, "sick": Sick})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "tiny"
    fields = [
        "--energy.width",
        "4",
        "--training.n_updates",
        "2",
        "--training.n_steps",
        "1",
        "--training.start.size",
        "130",
    ]
    assert main(["train", "smoke", "--out", str(path), *fields]) == 0
    return path


def test_a_run_is_measured_into_its_folder(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(model), "--only", "fine"]) == 0
    found = read_measurements(model / "evaluation.json")
    assert found.failures == {}
    assert [f.name for f in found.sections["fine"].figures] == ["mean E", "n"]
    assert found.sections["fine"].figures[1].value == 8
    assert found.subject["recipe"] == "smoke"
    assert "By hand." in (model / "report.html").read_text(encoding="utf-8")
    assert "mean E" in capsys.readouterr().err


def test_what_cannot_be_measured_leaves_the_others_and_exits_with_1(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(model), "--quick"]) == 1
    found = read_measurements(model / "evaluation.json")
    assert found.failures == {"sick": "sick: the energy is NaN"}
    assert found.sections["fine"].figures[1].value == 4
    assert "sick: the energy is NaN" in capsys.readouterr().err
    assert "the energy is NaN" in (model / "report.html").read_text(encoding="utf-8")


def test_figures_do_not_depend_on_what_else_was_asked_for(model: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(model), "--only", "fine", "--out", str(tmp_path / "a")]) == 0
    assert main(["evaluate", str(model), "--out", str(tmp_path / "b")]) == 1
    a, b = (read_measurements(tmp_path / n / "evaluation.json").sections["fine"] for n in "ab")
    assert a.figures == b.figures


def test_a_bare_checkpoint_needs_a_place(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = str(model / "checkpoints" / "step-00000002")
    assert main(["evaluate", checkpoint]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["evaluate", checkpoint, "--only", "fine", "--out", str(tmp_path / "here")]) == 0
    assert main(["evaluate", checkpoint, "--only", "fine", "--out", str(tmp_path / "here")]) == 2
    assert main(["evaluate", checkpoint, "--only", "fines", "--out", str(tmp_path / "there")]) == 2
    assert not (tmp_path / "there").exists()


def test_compare(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", str(model), "--only", "fine"])
    capsys.readouterr()
    page = tmp_path / "page.html"
    assert main(["compare", str(model), str(model), "--markdown", "--out", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("| --- |")
    assert any(line.startswith("| fine: mean E |") for line in lines)
    assert any(line.startswith("| fine: floor: mean E |") for line in lines)
    assert page.is_file()
    assert main(["compare", str(model)]) == 0
    assert main(["compare", str(tmp_path)]) == 2


def test_measurements_come_back(tmp_path: Path) -> None:
    section = Section((Figure("a", 1.5, None, "dB", "x"), Figure("b", float("inf"), 0.25)), (), "how", 3.0)
    whole = Measurements({"recipe": "mnist"}, {"cores": 2}, {"s": section}, {"t": "why"})
    assert read_measurements(write_measurements(tmp_path / "evaluation.json", whole)) == whole
    with pytest.raises(ValueError, match="NaN"):
        write_measurements(
            tmp_path / "x.json", whole._replace(sections={"s": section._replace(figures=(Figure("a", float("nan")),))})
        )


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "sections": {"a": 3}}'])
def test_a_damaged_evaluation_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=r"evaluation\.json"):
        read_measurements(path)


def test_the_headline_shows_floor_and_anchor() -> None:
    figures = (Figure("Fréchet distance", 17.0, 1.0),)
    anchors = (
        Figure("floor, training images: Fréchet distance", 3.0),
        Figure("class Gaussians: Fréchet distance", 111.0),
    )
    cards = headline(Measurements({}, {}, {"fidelity": Section(figures, anchors, "", 1.0)}, {}))
    assert cards == [("Fréchet distance", "17 ± 1", "floor, training images: 3; class Gaussians: 111")]


def test_every_section_follows_the_grammar() -> None:
    assert {"fidelity", "chain_length", "mixing", "ood", "landscape", "likelihood", "denoising", "inpainting"} == set(
        REGISTRY
    )
    for name, cls in REGISTRY.items():
        assert cls.__module__ == f"ebmnist.evaluation.{name}"
        assert cls.__doc__
        quick = cls.quick()
        assert quick != cls()
        json.dumps(quick.__dict__)
