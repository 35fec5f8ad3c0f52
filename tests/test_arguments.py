"""The words of a command line at and beyond the ends of their ranges: one line that names the option, exit code 2."""

from pathlib import Path

import pytest

from ebmnist.arguments import file_path, names
from ebmnist.cli import main
from ebmnist.parser import build_parser

# A command with what it requires, but for the option that is tried.
SAMPLE, DENOISE = ["sample", "pretrained", "--out", "x.png"], ["denoise", "pretrained", "--out", "x.png"]
EVALUATE, NET = ["evaluate", "pretrained"], ["train-feature-net", "--out", "x.safetensors"]
NO_NUMBERS = ["", " ", "many", "1.5", "1e3", "nan", "0x10", "½", "[red]", "\n", "\udcff", "--", "9" * 5000]
OUTSIDE = {
    "--n": (SAMPLE, ["0", "-1", "100000001", str(10**12)]),
    "--steps": (SAMPLE, ["-1", str(10**9 + 1), str(2**64)]),
    "--long": (EVALUATE, ["0", "-5", str(10**12)]),
    "--chains": (EVALUATE, ["0", "-1", "4745"]),
    "--epochs": (NET, ["0", "-1", str(10**12)]),
    "--sigma": (DENOISE, ["0", "-0.1", "nan", "inf", "1e999", "1.01", "25", "255", "1e300", "", "many", "--", "[red]"]),
    "--device": (SAMPLE, ["", " ", "\udcff", "--"]),
    "--only": (EVALUATE, ["", " ", ",", ",,", "--"]),
    "--out": (SAMPLE[:2], ["", "a\0b", "--", "x" * 256 + ".png", "x/" * 2100]),
    "--input": (["score", "pretrained"], ["", "a\0b", "--", "x" * 256, "/dev/zero", "/dev/full"]),
    "--outliers": (EVALUATE, ["", "x" * 256]),
}
WHOLE = ("--n", "--steps", "--long", "--chains", "--epochs")
CASES = [(*command, f"{option}={v}") for option, (command, values) in OUTSIDE.items() for v in values] + [
    (*OUTSIDE[option][0], f"{option}={v}") for option in WHOLE for v in NO_NUMBERS
]


@pytest.mark.parametrize("words", CASES, ids=lambda words: ascii(words[-1])[:40])
def test_outside_its_range(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert len(said) == 1
    assert f"ebmnist {words[0]}: {words[-1].partition('=')[0]}" in said[0]


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([*SAMPLE, "--n", "1"], 1),
        ([*SAMPLE, "--n", "100000000"], 10**8),
        ([*SAMPLE, "--steps", "0"], 0),
        ([*EVALUATE, "--long", "64"], 64),
        ([*EVALUATE, "--chains", "4744"], 4744),
        ([*NET, "--epochs", "1"], 1),
        ([*DENOISE, "--sigma", "1"], 1.0),
        ([*DENOISE, "--sigma", "1e-9"], 1e-9),
        ([*EVALUATE, "--only", " fidelity, ood,"], ["fidelity", "ood"]),
    ],
)
def test_the_ends_themselves_are_inside(words: list[str], value: object) -> None:
    assert getattr(build_parser().parse_args(words), words[-2].removeprefix("--")) == value


def test_sigma_on_the_scale_of_bytes_is_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*DENOISE, "--sigma", "25"])
    assert "--sigma must be ≤ 1, since pixels are on [0, 1], not 25; did you mean 0.098" in capsys.readouterr().err


@pytest.mark.parametrize(("word", "meant"), [("trian", "train"), ("smaple", "sample"), ("infos", "info"), ("fly", "")])
def test_an_unknown_verb_has_a_suggestion(word: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([word, "smoke", "--training.lr", "1"])
    assert (f"did you mean {meant}?" if meant else "use one of run, train") in capsys.readouterr().err


def test_paths_and_names() -> None:
    assert names("a, b,") == ["a", "b"]
    assert file_path("~/x.png") == Path.home() / "x.png"
    assert file_path("~x") == Path("~x")
    assert file_path("\udcff/é[/]\n") == Path("\udcff/é[/]\n")
