"""`ebmnist evaluate` and `compare`: what is written, what fails and how, with sections that take no time."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pytest
import torch

from ebmnist import measuring, pipeline
from ebmnist.cli import main
from ebmnist.errors import BadInput
from ebmnist.evaluation import REGISTRY, EvaluationContext, Metric, SectionResult, Unmeasurable, feature_net, runner
from ebmnist.evaluation.chain_length import ChainLength
from ebmnist.evaluation.ood import OutOfDistribution
from ebmnist.evaluation.records import SectionRecord
from ebmnist.evaluation.runner import SectionDone, SectionStarted, run_sections, sections_asked_for
from ebmnist.random import Rng
from ebmnist.reporting import Checkpoint, checkpoint
from ebmnist.reporting.measurements import read_measurements, write_measurements
from ebmnist.reporting.plots import SECTION_FIGURES
from ebmnist.reporting.report import Part
from ebmnist.run_plots import Setting
from ebmnist.sampling import ReplayBuffer
from ebmnist.trained import Trained, load, make_trained


@dataclass(frozen=True)
class Fine:
    """Measures the mean energy of a little noise."""

    n: int = 8

    @classmethod
    def quick(cls) -> Self:
        return cls(n=4)

    def measure(self, subject: EvaluationContext, rng: Rng) -> SectionResult:
        x = rng.uniform((self.n, 1, 28, 28))
        value = float(subject.energy(x).mean())
        return SectionResult(
            (Metric("mean E", value, 0.1), Metric("n", self.n)),
            (Metric("real reference: mean E", 0.0),),
            {},
            "By hand.",
        )


@dataclass(frozen=True)
class Sick(Fine):
    """Cannot be measured."""

    def measure(self, subject: EvaluationContext, rng: Rng) -> SectionResult:  # noqa: ARG002
        raise Unmeasurable("sick: the energy is NaN")


@pytest.fixture(autouse=True)
def _few_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "REGISTRY", {"fine": Fine, "sick": Sick})


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
    assert [f.name for f in found.sections["fine"].metrics] == ["mean E", "n"]
    assert found.sections["fine"].metrics[1].value == 8
    assert found.model["recipe"] == "smoke"
    assert "By hand." in (model / "report.html").read_text(encoding="utf-8")
    assert "mean E" in capsys.readouterr().err


def test_what_cannot_be_measured_leaves_the_others_and_exits_with_1(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(model), "--quick"]) == 1
    found = read_measurements(model / "evaluation.json")
    assert found.failures == {"sick": "sick: the energy is NaN"}
    assert found.sections["fine"].metrics[1].value == 4
    assert "sick: the energy is NaN" in capsys.readouterr().err
    assert "the energy is NaN" in (model / "report.html").read_text(encoding="utf-8")


def test_what_is_not_asked_for_again_is_kept(model: Path) -> None:
    (model / "evaluation.json").unlink(missing_ok=True)
    assert main(["evaluate", str(model), "--quick"]) == 1
    assert main(["evaluate", str(model), "--only", "sick"]) == 1
    kept = read_measurements(model / "evaluation.json")
    assert (kept.sections["fine"].quick, kept.sections["fine"].seed, kept.model["quick"]) == (True, 0, True)
    assert main(["evaluate", str(model), "--only", "fine", "--seed", "3"]) == 0
    found = read_measurements(model / "evaluation.json")
    assert (found.sections["fine"].quick, found.sections["fine"].seed, found.model["quick"]) == (False, 3, False)
    assert found.sections["fine"].commit == found.environment["commit"]
    assert found.failures == kept.failures
    assert "the energy is NaN" in (model / "report.html").read_text(encoding="utf-8")


def test_an_evaluation_of_another_checkpoint_is_replaced(model: Path) -> None:
    assert main(["evaluate", str(model)]) == 1
    former = read_measurements(model / "evaluation.json")
    other = former._replace(model=former.model | {"checkpoint": "0" * 12})
    write_measurements(model / "evaluation.json", other)
    assert main(["evaluate", str(model), "--only", "fine"]) == 0
    assert read_measurements(model / "evaluation.json").failures == {}


def test_a_report_takes_a_quick_look_and_never_in_place_of_a_full_one(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebmnist.run_plots.run_plots", lambda _: iter(()))
    monkeypatch.setattr(runner, "REGISTRY", {"fidelity": Fine, "sick": Sick})
    (model / "evaluation.json").unlink(missing_ok=True)
    assert main(["report", str(model)]) == 0
    assert read_measurements(model / "evaluation.json").sections["fidelity"].quick
    assert main(["evaluate", str(model), "--seed", "4"]) == 1
    full = (model / "evaluation.json").read_bytes()
    (model / "report.html").unlink()
    assert main(["report", str(model)]) == 0
    assert (model / "evaluation.json").read_bytes() == full
    assert "By hand." in (model / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", ["NaN", "singular", "picture"])
def test_a_fault_of_one_section_is_one_line_and_the_others_report(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    @dataclass(frozen=True)
    class Faulty(Fine):
        """Meets what no section foresaw."""

        def measure(self, subject: EvaluationContext, rng: Rng) -> SectionResult:
            if fault == "singular":
                torch.linalg.cholesky(torch.zeros(2, 2))
            measured = super().measure(subject, rng)
            invalid = (Metric("good", 1.0), Metric("bad", float("nan")))
            return replace(measured, baselines=invalid) if fault == "NaN" else measured

    def unable(measured: SectionResult, path: Path, *, recipe: str) -> Path:  # noqa: ARG001
        raise ZeroDivisionError("division by zero\nand more")

    (model / "evaluation.json").unlink(missing_ok=True)
    monkeypatch.setattr(runner, "REGISTRY", {"landscape": Faulty, "fine": Fine})
    monkeypatch.setitem(SECTION_FIGURES, "landscape", unable)
    assert main(["evaluate", str(model)]) == 1
    found = read_measurements(model / "evaluation.json")
    says = {
        "NaN": "landscape: NaN is what was measured as bad",
        "singular": "landscape: linalg.cholesky: ",
        "picture": "landscape: its picture, ZeroDivisionError: division by zero",
    }[fault]
    assert found.failures["landscape"].startswith(says)
    assert "\n" not in found.failures["landscape"]
    assert set(found.sections) == ({"landscape", "fine"} if fault == "picture" else {"fine"})
    assert f"not {'drawn' if fault == 'picture' else 'measured'}: {says}" in capsys.readouterr().err
    page = (model / "report.html").read_text(encoding="utf-8")
    assert f"Not {'drawn' if fault == 'picture' else 'measured'}</h2>" in page


@pytest.mark.parametrize("name", ["slow", "a-slow"])
def test_ctrl_c_keeps_what_was_measured_and_says_so(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    @dataclass(frozen=True)
    class Slow(Fine):
        """Is interrupted in the middle."""

        def measure(self, subject: EvaluationContext, rng: Rng) -> SectionResult:
            subject.progress(1, 2)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)
            return super().measure(subject, rng)

    (model / "evaluation.json").unlink(missing_ok=True)
    sections = {"slow": {"fine": Fine, "slow": Slow, "sick": Sick}, "a-slow": {"a-slow": Slow, "fine": Fine}}
    monkeypatch.setattr(runner, "REGISTRY", sections[name])
    begin = time.monotonic()
    assert main(["evaluate", str(model)]) == 130
    assert time.monotonic() - begin < 15
    said = capsys.readouterr().err
    assert "resume" not in said
    if name == "slow":
        found = read_measurements(model / "evaluation.json")
        assert list(found.sections) == ["fine"]
        assert found.failures == {}
        assert said.endswith(f"what was measured is in {model / 'evaluation.json'}, without slow, sick\n")
        assert "By hand." in (model / "report.html").read_text(encoding="utf-8")
    else:
        assert said.endswith("interrupted before a section was measured; nothing was written\n")
        assert not (model / "evaluation.json").exists()


def test_ctrl_c_while_drawing_says_how_to_draw_again(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: Setting) -> Iterator[Part]:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
        yield Part("late")

    monkeypatch.setattr("ebmnist.run_plots.run_plots", interrupted)
    assert main(["report", str(model)]) == 130
    assert capsys.readouterr().err.endswith(f"the run is saved, draw it and measure it with: ebmnist report {model}\n")


def test_figures_do_not_depend_on_what_else_was_asked_for(model: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(model), "--only", "fine", "--out", str(tmp_path / "a")]) == 0
    assert main(["evaluate", str(model), "--out", str(tmp_path / "b")]) == 1
    a, b = (read_measurements(tmp_path / n / "evaluation.json").sections["fine"] for n in "ab")
    assert a.metrics == b.metrics


def test_a_bare_checkpoint_needs_a_place(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = str(model / "checkpoints" / "step-00000002")
    assert main(["evaluate", checkpoint]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["evaluate", checkpoint, "--only", "fine", "--out", str(tmp_path / "here")]) == 0
    assert main(["evaluate", checkpoint, "--only", "fine", "--out", str(tmp_path / "here")]) == 2
    assert main(["evaluate", checkpoint, "--only", "fines", "--out", str(tmp_path / "there")]) == 2
    assert not (tmp_path / "there").exists()


def test_an_exported_model_is_all_it_takes_to_use_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "to-pass-on"
    (model / "evaluation.json").unlink(missing_ok=True)
    assert main(["export", str(model), "--out", str(out)]) == 2
    assert "has no figures to go with it" in capsys.readouterr().err
    assert not out.exists()
    assert main(["evaluate", str(model), "--only", "fine"]) == 0
    assert main(["export", str(model), "--out", str(out)]) == 0
    assert sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) < 100_000
    # As the package's own, by the name `pretrained`.
    monkeypatch.setattr(checkpoint, "PRETRAINED", out)
    monkeypatch.chdir(tmp_path)
    x = torch.rand(3, 1, 28, 28)
    assert torch.equal(load("pretrained")(x), load(model)(x))
    capsys.readouterr()
    assert main(["info", "pretrained", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["figures"]["sections"]["fine"]["metrics"][1]["value"] == 8
    assert facts["made"] == json.loads((model / "env.json").read_text())
    assert main(["evaluate", "pretrained", "--only", "fine", "--out", str(tmp_path / "again")]) == 0


def test_compare(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", str(model), "--only", "fine"])
    capsys.readouterr()
    page = tmp_path / "page.html"
    assert main(["compare", str(model), str(model), "--markdown", "--out", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["## Runs", ""]
    assert lines[3].startswith("| --- |")
    assert "| recipe | smoke |" in "".join(lines)
    assert lines.index("## Fine") < lines.index(next(line for line in lines if line.startswith("| mean E |")))
    assert any(line.startswith("| real reference: mean E |") for line in lines)
    assert "Fine" in page.read_text(encoding="utf-8")
    assert main(["compare", str(model)]) == 0
    assert main(["compare", str(tmp_path)]) == 2


def test_chains_are_as_long_and_as_many_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "REGISTRY", REGISTRY)
    assert sections_asked_for(long=100_000)["chain_length"] == ChainLength(long=100_000)
    assert sections_asked_for(quick=True, long=64)["chain_length"] == replace(ChainLength.quick(), long=64)
    assert sections_asked_for(chains=1000)["chain_length"] == ChainLength(n=1000)
    assert sections_asked_for(["ood", "fidelity"]).keys() == {"fidelity", "ood"}
    assert sections_asked_for()["chain_length"] == ChainLength(long=1024)


def test_folders_of_outliers_reach_their_section(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runner, "REGISTRY", REGISTRY)
    pixels = bytes(range(200)) + bytes(20 * 784 - 200)
    (tmp_path / "my-test-idx3").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28]) + pixels)
    section = sections_asked_for(["ood"], quick=True, outliers=[tmp_path])["ood"]
    assert isinstance(section, OutOfDistribution)
    assert section.n == OutOfDistribution.quick().n
    assert {name: x.shape for name, x in section.given.items()} == {tmp_path.name: (20, 1, 28, 28)}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--long", "63"], "chain_length: long must be ≥ 64, not 63"),
        (["--long", "100", "--only", "ood"], "--only leaves out"),
        (["--chains", "100"], "chain_length: chains must be ≥ 256 for 128 features, not 100"),
        (["--chains", "1000", "--only", "ood"], "--only leaves out"),
        (["--device", "cuda:77"], "use cpu or auto"),
        (["--only", "beauty"], "section 'beauty' is unknown"),
        (["--outliers", "no/letters"], "no/letters: cannot be read (No such file or directory); give a folder"),
        (["--outliers", ".", "--only", "fidelity"], "--outliers are for the section ood, which --only leaves out"),
    ],
)
def test_bad_words_are_one_line_and_write_nothing(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    says: str,
) -> None:
    monkeypatch.setattr(runner, "REGISTRY", REGISTRY)
    assert main(["evaluate", str(model), *words]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("ebmnist: ")
    assert says in last
    assert not list(tmp_path.iterdir())


def test_everything_is_computed_where_the_recipe_says_unless_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def watched(checkpoint: Checkpoint, path: Path, device: str | None, data_root: Path | None) -> Trained:
        assert data_root is None
        made = make_trained(checkpoint, path, device)
        asked.append(made.recipe.basics.device)
        return made

    monkeypatch.setattr(measuring, "make_trained", watched)
    assert main(["evaluate", str(model), "--only", "fine"]) == 0
    assert main(["evaluate", str(model), "--only", "fine", "--device", "cpu"]) == 0
    assert asked == ["auto", "cpu"]
    assert read_measurements(model / "evaluation.json").model["device"] == "cpu"


def test_the_buffer_is_judged_with_the_step_indices_that_training_saved(model: Path) -> None:
    trained, buffer = load(model), ReplayBuffer(5).tensors()
    images, step_index = torch.rand(5, 1, 28, 28), torch.arange(5)
    start = {f"start.{name}": value for name, value in {**buffer, "images": images, "step_index": step_index}.items()}
    subject = measuring.context_of(trained, trained.recipe.load_data(), start)
    assert subject.replay is images
    assert subject.replay_step_index is step_index


def test_a_section_has_random_numbers_of_its_own_whichever_others_run(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "REGISTRY", {"fine": Fine, "other": Fine})
    trained = load(model)
    subject = measuring.context_of(trained, trained.recipe.load_data(), {})

    def figures(*names: str, seed: int = 2**63 - 1) -> list[float]:
        events = run_sections(subject, {name: Fine() for name in names}, seed=seed)
        return [
            e.outcome.metrics[0].value
            for e in events
            if isinstance(e, SectionDone) and isinstance(e.outcome, SectionRecord)
        ]

    both = figures("fine", "other")
    assert both[0] != both[1]
    assert figures("other") == both[1:]
    assert figures("other", seed=0) != both[1:]


@pytest.mark.parametrize("seed", ["-1", str(2**63)])
def test_what_is_no_seed_is_refused_before_the_work(model: Path, seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match=rf"seed must be a whole number from 0 to 2⁶³ − 1, not {seed}"):
        next(pipeline.evaluate(model, only=("fine",), seed=int(seed)))
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", str(model), "--only", "fine", "--seed", seed])
    (said,) = capsys.readouterr().err.splitlines()
    assert "--seed must be" in said


def test_a_section_is_announced_and_its_failure_carries_its_name_once(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class Refused(Fine):
        """Meets input that it cannot use."""

        def measure(self, subject: EvaluationContext, rng: Rng) -> SectionResult:  # noqa: ARG002
            raise BadInput("the images are torn")

    monkeypatch.setattr(runner, "REGISTRY", {"sick": Sick, "refused": Refused, "fine": Fine})
    sections = {"sick": Sick(), "refused": Refused(), "fine": Fine()}
    trained = load(model)
    events = list(run_sections(measuring.context_of(trained, trained.recipe.load_data(), {}), sections, seed=0))
    assert events[0::2] == [SectionStarted("sick", 1, 3), SectionStarted("refused", 2, 3), SectionStarted("fine", 3, 3)]
    outcomes = [event.outcome for event in events[1::2] if isinstance(event, SectionDone)]
    assert outcomes[:2] == ["sick: the energy is NaN", "refused: the images are torn"]
    assert isinstance(outcomes[2], SectionRecord)


def test_the_report_says_what_a_reader_needs(model: Path) -> None:
    main(["evaluate", str(model), "--only", "fine", "--seed", "5"])
    page = (model / "report.html").read_text(encoding="utf-8")
    assert "not comparable with Inception FIDs" in page
    for fact in ("seed", "commit", "processor", "date", "measured in", "device"):
        assert f"<dt>{fact}</dt>" in page


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["NaN weights", "no feature net"])
def test_what_is_broken_is_one_line_for_each_section_and_the_others_report(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: str,
) -> None:
    monkeypatch.setattr(runner, "REGISTRY", REGISTRY)
    in_features = ["fidelity", "chain_length", "mixing"]
    only = list(REGISTRY) if fault == "NaN weights" else [*in_features, "ood"]
    if fault == "NaN weights":
        trained = load(model)
        for parameter in trained.parameters():
            parameter.fill_(torch.nan)
        monkeypatch.setattr(measuring, "make_trained", lambda *_: trained)
    else:
        monkeypatch.setattr(feature_net, "WEIGHTS", tmp_path / "feature_net.safetensors")
    out = tmp_path / "out"
    assert main(["evaluate", str(model), "--quick", "--only", ",".join(only), "--out", str(out)]) == 1
    said = capsys.readouterr().err
    found = read_measurements(out / "evaluation.json")
    assert set(found.failures) == (set(only) if fault == "NaN weights" else set(in_features))
    assert set(found.sections) == set(only) - set(found.failures)
    for name, why in found.failures.items():
        assert why.startswith(f"{name}: ")
        assert "\n" not in why
        assert f"not measured: {why}" in said
    assert (out / "report.html").is_file()


def test_every_section_follows_the_grammar() -> None:
    named = {"fidelity", "chain_length", "mixing", "ood", "landscape", "likelihood", "denoising", "inpainting"}
    assert named | {"restoration"} == set(REGISTRY)
    for name, cls in REGISTRY.items():
        assert cls.__module__ == f"ebmnist.evaluation.{name}"
        assert cls.__doc__
        quick = cls.quick()
        assert quick != cls()
        json.dumps(quick.__dict__)
