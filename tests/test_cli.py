"""The command line: what it says, how it ends, and that bad input costs one line and nothing else."""

import errno
import json
import os
import re
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import ebmnist
from ebmnist.arguments import split_overrides
from ebmnist.cli import main
from ebmnist.config import load_recipe
from ebmnist.data import read_images
from ebmnist.inference.generation import OF_TRAINING
from ebmnist.parser import build_parser
from ebmnist.sampling import SAMPLERS

GOLDEN = Path(__file__).parent / "golden"
TINY = [
    *("--energy.width", "4", "--training.n_updates", "4", "--training.n_steps", "2", "--training.batch_size", "8"),
    *("--training.start.size", "16", "--evaluation.n_steps", "4", "--evaluation.n_images", "10"),
    *("--artifacts.checkpoint_every", "2"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, trained by the command line itself."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", "smoke", "--out", str(path), *TINY]) == 0
    return path


def test_help_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The golden file is what a newcomer reads; change it on purpose."""
    monkeypatch.setenv("COLUMNS", "100")
    assert build_parser().format_help() == (GOLDEN / "help.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "train",
        "resume",
        "report",
        "recipe",
        "info",
        "sample",
        "denoise",
        "inpaint",
        "restore",
        "score",
        "evaluate",
    ],
)
def test_every_verb_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert command in capsys.readouterr().out


def test_fields_of_the_recipe_are_told_from_the_verbs_own_words() -> None:
    own, fields = split_overrides(["run", "--training.n_updates", "500", "--out", "x", "--seed", "2", "a.yaml"])
    assert own == ["run", "--out", "x", "a.yaml"]
    assert fields == ["--training.n_updates", "500", "--seed", "2"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip().count(".") == 2


@pytest.mark.parametrize(("given", "expected"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_sleep_soon_unless_the_environment_says_otherwise(
    given: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")} | given
    monkeypatch.setattr(os, "environ", environment)
    assert main(["recipe"]) == 0
    assert environment["GOMP_SPINCOUNT"] == expected


def test_recipes_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe"]) == 0
    assert "mnist-classic" in capsys.readouterr().out
    assert main(["recipe", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed) == load_recipe("smoke").fields
    above = [a.strip() for a, line in pairwise(printed.splitlines()) if re.match(r" *\w+: ", line)]
    assert above
    assert all(meaning.startswith("#") for meaning in above)


def test_info(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(model)]) == 0
    assert "updates: 4 of 4" in capsys.readouterr().out
    assert main(["info", str(model / "checkpoints" / "step-00000002"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["updates"] == "2 of 4"
    assert facts["energy"]["width"] == 4


@pytest.mark.parametrize("suffix", ["png", "npy", "gif", "webp"])
def test_sample(model: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"x.{suffix}"
    assert main(["sample", str(model), "--n", "5", "--steps", "3", "--seed", "1", "--out", str(out)]) == 0
    if suffix in ("png", "npy"):
        x = read_images(out)
        assert x.shape == (5, 1, 28, 28)
        assert 0 <= x.min() <= x.max() <= 1
    else:
        with Image.open(out) as film:
            assert film.n_frames > 1


def test_sample_is_reproducible_and_not_overwritten(model: Path, tmp_path: Path) -> None:
    a, b = tmp_path / "a.npy", tmp_path / "b.npy"
    words = ["sample", str(model), "--n", "3", "--steps", "2", "--out"]
    assert main([*words, str(a)]) == main([*words, str(b)]) == 0
    assert a.read_bytes() == b.read_bytes()
    assert np.load(a).dtype == np.float32
    assert main([*words, str(a), "--seed", "5"]) == 2
    assert a.read_bytes() == b.read_bytes()
    assert main([*words, str(a), "--seed", "5", "--force"]) == 0
    assert a.read_bytes() != b.read_bytes()


def test_denoise_test_images_and_ones_own(model: Path, tmp_path: Path) -> None:
    shown, noisy, out = tmp_path / "shown.png", tmp_path / "noisy.npy", tmp_path / "clean.npy"
    assert main(["denoise", str(model), "--sigma", "0.3", "--out", str(shown)]) == 0
    assert len(read_images(shown)) == 30
    np.save(noisy, torch.rand(4, 1, 28, 28).numpy())
    assert main(["denoise", str(model), "--sigma", "0.3", "--input", str(noisy), "--out", str(out)]) == 0
    assert read_images(out).shape == (4, 1, 28, 28)


OF_FEATURES = ["features", "relative_mahalanobis", "max_softmax"]
COLUMNS = ["index", "energy", "noise_averaged_energy", *OF_FEATURES, "combined", "percentile", "p_value", "outlier"]


def test_score_as_csv_and_json_before_and_after_calibration(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "x.npy"
    np.save(images, torch.rand(3, 28, 28, generator=torch.Generator().manual_seed(0)).numpy())
    words = ["score", str(model), "--input", str(images), "--score", "energy"]
    assert main(words) == 0
    fitted = capsys.readouterr()
    assert "ebmnist calibrate" in fitted.err
    header, *rows = fitted.out.splitlines()
    assert header.split(",") == COLUMNS
    assert main(["calibrate", str(model)]) == 0
    capsys.readouterr()
    assert main([*words, "--data.root", str(tmp_path / "nowhere")]) == 0  # no data set is looked for
    stored = capsys.readouterr()
    assert (stored.out, stored.err) == (fitted.out, "")
    assert main([*words, "--json"]) == 0
    cells = [[float(cell) if cell else None for cell in row.split(",")] for row in rows]
    assert [list(row.values()) for row in json.loads(capsys.readouterr().out)] == [row[1:] for row in cells]


def test_the_samplers_offered_are_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sample", "--help"])
    assert f"--sampler {{{','.join([*SAMPLERS, OF_TRAINING])}}}" in capsys.readouterr().out


def test_score_tells_outliers_from_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = load_recipe("mnist").load_data().test.images[:200]
    np.save(tmp_path / "x.npy", torch.cat([test[:100], test[100:].rot90(1, (-2, -1))]).numpy())
    for score, found in (("combined", 90), ("noise-averaged", 60)):
        words = ["score", "pretrained", "--input", str(tmp_path / "x.npy"), "--score", score]
        assert main(words) == 0
        header, *rows = capsys.readouterr().out.splitlines()
        assert header.split(",") == COLUMNS
        table = np.array([[float(cell) for cell in row.split(",")] for row in rows])
        percentile, p, outlier = table[:, -3:].T
        assert ((p <= 0.05) == outlier).all()
        assert outlier[100:].sum() >= found
        assert outlier[:100].sum() <= 14  # of 100 digits at 0.05: beyond it once in ten thousand
        assert percentile / 100 == pytest.approx(1 - p, abs=1e-3)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "mnst"], "not found"),
        (["run", "smoke", "--training.lrr", "1"], "lrr"),
        (["train", "smoke", "--training.n_steps", "-1"], "n_steps must be ≥ 1"),
        (["train", "smoke", "--out", "{model}"], "exists already"),
        (["resume", "{tmp}"], "no run folder"),
        (["report", "{tmp}"], "no run folder"),
        (["info", "{tmp}/nothing"], "nothing"),
        (["sample", "{model}", "--out", "{tmp}/x.jpg"], "ends in"),
        (["sample", "{model}", "--out", "{tmp}/no/x.png"], "does not exist"),
        (["sample", "{model}", "--n", "577", "--out", "{tmp}/x.gif"], "holds at most 576"),
        (["sample", "{model}", "--n", "100001", "--out", "{tmp}/x.png"], "holds at most 100,000"),
        (["sample", "{model}", "--out", "{tmp}/folder.png", "--force"], "is not a file"),
        (["sample", "{model}", "--out", "{tmp}/null.png", "--force"], "is not a file"),
        (
            ["denoise", "{model}", "--sigma", "1", "--out", "{tmp}/nan.npy", "--input", "{tmp}/nan.npy", "--force"],
            "--input",
        ),
        (["train-feature-net", "--out", "{tmp}/old.safetensors"], "exists already; choose another name"),
        (["train-feature-net", "--out", "/proc/x.safetensors"], "not written"),
        (["sample", "{model}", "--out", "/proc/x.png"], "not written"),
        (["train", "smoke", "--out", "/proc/x"], "not written"),
        (["train", "smoke", "--name", "\udcff", "--out", "{tmp}/x"], "not UTF-8"),
        (["sample", "{model}", "--device", "cuda:77", "--out", "{tmp}/x.png"], "use cpu or auto"),
        (["score", "{model}", "--input", "{tmp}/nothing.npy"], "nothing.npy"),
        (["score", "{model}", "--input", "{tmp}/wrong.npy"], "wrong.npy"),
        (["score", "{model}", "--input", "{tmp}/nan.npy"], "nan.npy"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "null.png").symlink_to("/dev/null")
    (tmp_path / "old.safetensors").touch()
    np.save(tmp_path / "wrong.npy", np.zeros((2, 3, 5), np.float32))
    np.save(tmp_path / "nan.npy", np.full((1, 28, 28), np.nan, np.float32))
    files = sorted(p for p in model.rglob("*"))
    capsys.readouterr()
    assert main([w.format(model=model, tmp=tmp_path) for w in words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ebmnist: ")]
    assert len(lines) == 1
    assert says in lines[0]
    assert "--force" not in lines[0] or words[0] in ("sample", "denoise")
    assert sorted(p for p in model.rglob("*")) == files


@pytest.mark.parametrize("words", [["fly"], ["sample"], ["run", "--nonsense"], ["sample", "x", "--n", "many"]])
def test_bad_words_are_one_line_and_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_package_that_cannot_be_imported_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [n for n in sys.modules if n.startswith("ebmnist.commands")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(ebmnist, "commands", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["recipe"]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "cannot start (ModuleNotFoundError: " in said
    assert "torch" in said


def test_a_broken_tensorboard_is_refused_before_there_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main(["train", "smoke", "--artifacts.tensorboard", "true", "--out", str(tmp_path / "x")]) == 2
    assert "tensorboard is not installed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["evaluate", "{model}"], ["report", "{model}"], ["resume", "{model}"]])
def test_a_folder_that_may_not_be_written_is_refused_before_the_work(
    model: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "write_bytes", read_only)
    assert main([w.format(model=model) for w in words]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"ebmnist: {model}: not written (Read-only file system); make it writable")
    assert "--" not in said


def test_a_table_has_a_row_a_line_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = tmp_path / ("[bold]" + "x" * 180)
    section = {"metrics": [], "baselines": [], "method": "", "seconds": 1.0, "quick": True, "seed": 0, "commit": None}
    whole = {
        "format": 1,
        "model": {"recipe": ":smile:", "about": "", "updates": 1, "quick": True, "seed": 0},
        "environment": {},
        "sections": {"fidelity": section},
        "failures": {"ood": "why " * 60},
    }
    long.mkdir()
    (long / "evaluation.json").write_text(json.dumps(whole), encoding="utf-8")
    assert main(["compare", str(long)]) == 0
    printed = capsys.readouterr().out
    assert str(long) in printed
    assert ":smile:" in printed
    assert ("why " * 60).strip() in printed
