"""The canvas: whole pixels, the same bytes each time, no trace left in matplotlib's global state."""

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from ebmnist.errors import BadInput
from ebmnist.reporting.grid import image_grid
from ebmnist.reporting.plots.canvas import canvas, frame, largest_scale


@pytest.fixture
def grid():
    return image_grid(torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1)), 2)


def draw(path, grid):
    with canvas(path, 301, 340, "Title", "subtitle") as sheet:
        sheet.image(grid, 41, 117, 3)
    return path


def test_each_pixel_becomes_a_whole_square(tmp_path, grid):
    with Image.open(draw(tmp_path / "a.png", grid)) as picture:
        assert picture.size == (301, 340)
        shown = np.asarray(picture.convert("RGB"))[117 : 117 + 3 * 62, 41 : 41 + 3 * 62]
    expected = np.asarray(grid).repeat(3, 0).repeat(3, 1)[..., None].repeat(3, 2)
    # The colour map's 256 greys and the 8-bit ones agree to one level.
    assert np.abs(shown.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("webp", b"RIFF"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_formats(tmp_path, grid, suffix, magic):
    assert draw(tmp_path / f"a.{suffix}", grid).read_bytes().startswith(magic)


def test_same_picture_same_bytes_whatever_the_user_has_set(tmp_path, grid):
    first = draw(tmp_path / "a.png", grid).read_bytes()
    with matplotlib.rc_context({"font.size": 30, "figure.facecolor": "black", "savefig.bbox": "tight"}):
        assert draw(tmp_path / "b.png", grid).read_bytes() == first


def test_global_state_is_left_alone(tmp_path, grid):
    before = dict(matplotlib.rcParams)
    draw(tmp_path / "a.png", grid)
    assert dict(matplotlib.rcParams) == before


def test_a_failure_leaves_the_old_file(tmp_path, grid):
    path = draw(tmp_path / "a.png", grid)
    old = path.read_bytes()
    with pytest.raises(RuntimeError, match="half"), canvas(path, 301, 340, "Title"):
        raise RuntimeError("half way")
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["a.txt", "a", "a.jpeg"])
def test_unknown_suffix(tmp_path, grid, name):
    with pytest.raises(BadInput, match=r"use \.png"):
        draw(tmp_path / name, grid)


def test_missing_folder(tmp_path, grid):
    with pytest.raises(BadInput, match="not written"):
        draw(tmp_path / "missing" / "a.png", grid)


def test_scale_and_frame():
    assert [largest_scale(width) for width in (62, 242, 482, 5000)] == [6, 5, 2, 1]
    assert frame(100, 10)[0] == frame(860, 10)[0] < frame(861, 10)[0]


def test_a_name_with_dollars_is_no_formula(tmp_path):
    with canvas(tmp_path / "c.png", 600, 300, r"recipe $\foo{$"):
        pass
    assert (tmp_path / "c.png").is_file()
