"""`ebmnist restore` and `ebmnist denoise`: what they write and say, and that bad input costs one line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ebmnist.cli import main
from ebmnist.data import MNIST, read_images
from ebmnist.data.corruptions import add_noise
from ebmnist.inference.operators import AveragePool
from ebmnist.random import Rng

DIGITS = MNIST().load().test.images[:3]


def run(command: str, *words: str) -> int:
    return main([command, "pretrained", *words])


def saved(images: torch.Tensor, path: Path) -> str:
    np.save(path, images.numpy())
    return str(path)


def test_small_images_become_sharp_ones(tmp_path: Path) -> None:
    small, out = saved(AveragePool(2).forward(DIGITS), tmp_path / "small.npy"), tmp_path / "sharp.npy"
    assert run("restore", "--super-resolution", "2", "--input", small, "--n", "2", "--out", str(out)) == 0
    x = read_images(out).view(3, 2, 1, 28, 28)
    assert (x - DIGITS[:, None]).square().mean() < 0.01
    assert not torch.equal(x[:, 0], x[:, 1])


def test_a_picture_has_what_was_measured_mean_spread_and_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sharp.png"
    assert run("restore", "--deblur", "1.5", "--sigma", "0.05", "--n", "2", "--out", str(out)) == 0
    shown = read_images(out).view(10, 5, 1, 28, 28)
    mean, spread, one, other = shown[:, 1:].unbind(1)
    torch.testing.assert_close(mean, (one + other) / 2, atol=0.01, rtol=0)
    torch.testing.assert_close(spread, (one - other).abs(), atol=0.02, rtol=0)  # twice the deviation of two
    assert "10 test images: " in capsys.readouterr().err


def test_noise_is_estimated_and_samples_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noisy = saved(add_noise(DIGITS, 0.3, Rng(1)), tmp_path / "noisy.npy")
    out, picture = tmp_path / "x.npy", tmp_path / "x.png"
    assert run("denoise", "--input", noisy, "--out", str(out)) == 0
    said = capsys.readouterr().err
    assert abs(float(said.split("estimated as ")[1].split()[0]) - 0.3) < 0.02
    assert (read_images(out) - DIGITS).square().mean() < 0.01
    assert run("denoise", "--input", noisy, "--sigma", "0.3", "--samples", "2", "--out", str(picture)) == 0
    assert len(read_images(picture)) == 3 * 5
    assert run("denoise", "--input", noisy, "--fast", "--out", str(out), "--force") == 0
    assert "σ is estimated" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["restore", "pretrained", "--super-resolution", "2", "--input", "{digits}"], "(N, 1, 14, 14)"),
        (["denoise", "pretrained", "--fast"], "give --sigma"),
        (["denoise", "pretrained", "--sigma", "0.1", "--fast", "--samples", "2"], "not both"),
    ],
)
def test_what_cannot_be_restored_is_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits, out = saved(DIGITS, tmp_path / "digits.npy"), tmp_path / "out.npy"
    assert main([word.format(digits=digits) for word in words] + ["--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not out.exists()


@pytest.mark.parametrize("words", [["--super-resolution", "3"], ["--deblur", "0"], ["--deblur", "x"], []])
def test_what_was_measured_is_a_factor_or_a_blur(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["restore", "pretrained", *words, "--out", "x.png"])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
