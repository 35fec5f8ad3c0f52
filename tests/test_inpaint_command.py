"""`ebmnist inpaint`: known pixels are kept, each filling differs, and a wrong mask costs one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ebmnist.cli import main
from ebmnist.data import read_images

IMAGES = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)) / 2


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Three images."""
    np.save(tmp_path / "x.npy", IMAGES.numpy())
    return tmp_path / "x.npy"


def fill(given: Path, *words: str, out: str = "out.npy") -> Path:
    path = given.parent / out
    assert main(["inpaint", "pretrained", "--input", str(given), "--steps", "8", *words, "--out", str(path)]) == 0
    return path


@pytest.mark.parametrize(
    ("words", "hidden"),
    [
        (["--half", "left"], (slice(0, 28), slice(0, 14))),
        (["--half", "bottom"], (slice(14, 28), slice(0, 28))),
        (["--box", "3,5,10,20"], (slice(3, 10), slice(5, 20))),
    ],
)
def test_only_what_is_missing_changes(given: Path, words: list[str], hidden: tuple[slice, slice]) -> None:
    filled = read_images(fill(given, *words, "--n", "2")).view(3, 2, 28, 28)
    missing = torch.zeros(28, 28, dtype=torch.bool)
    missing[hidden] = True
    images = IMAGES.expand(3, 2, 28, 28)
    assert torch.equal(filled[:, :, ~missing], images[:, :, ~missing])
    assert not torch.equal(filled[:, 0][:, missing], filled[:, 1][:, missing])
    assert (filled[:, :, missing] != images[:, :, missing]).float().mean() > 0.9


def test_a_mask_is_one_for_all_or_one_for_each(given: Path) -> None:
    mask = np.full((28, 28), 255, np.uint8)
    mask[:, 20:] = 0
    Image.fromarray(mask).save(given.parent / "mask.png")
    by_mask = fill(given, "--mask", str(given.parent / "mask.png"), "--n", "1")
    by_box = fill(given, "--box", "0,20,28,28", "--n", "1", out="box.npy")
    assert by_mask.read_bytes() == by_box.read_bytes()
    np.save(given.parent / "three.npy", np.broadcast_to(mask, (3, 28, 28)))
    each = fill(given, "--mask", str(given.parent / "three.npy"), "--n", "1", out="each.npy")
    assert each.read_bytes() == by_box.read_bytes()


def test_a_picture_has_what_is_known_then_the_fillings(given: Path) -> None:
    shown = read_images(fill(given, "--half", "right", "--n", "4", out="out.png"))
    assert len(shown) == 3 * 5
    first = shown.view(3, 5, 28, 28)
    torch.testing.assert_close(first[:, 0, :, :14], IMAGES[:, 0, :, :14], atol=0.01, rtol=0)
    torch.testing.assert_close(first[:, 0, :, 14:], torch.full((3, 28, 14), 0.5), atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mask", "{two}"], "2 masks for 3 images"),
        (["--mask", "{white}"], "every pixel is known"),
        (["--half", "left", "--steps", "7"], "at least 8 steps"),
    ],
)
def test_what_cannot_be_filled_is_one_line(
    given: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two, white = given.parent / "two.npy", given.parent / "white.npy"
    np.save(two, np.eye(28, dtype=np.float32)[None].repeat(2, 0))
    np.save(white, np.ones((28, 28), np.float32))
    out = given.parent / "out.npy"
    words = [word.format(two=two, white=white) for word in words]
    assert main(["inpaint", "pretrained", "--input", str(given), "--out", str(out), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not out.exists()


@pytest.mark.parametrize("word", ["1,2,3", "a,b,c,d", "5,0,5,3", "0,0,29,3"])
def test_a_box_is_four_numbers_inside_the_image(word: str, given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["inpaint", "pretrained", "--input", str(given), "--box", word, "--out", "x.png"])
    assert ended.value.code == 2
    assert "--box" in capsys.readouterr().err
