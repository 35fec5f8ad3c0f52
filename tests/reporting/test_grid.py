"""The grid is exact: its size by formula, its pixels read back to the bit."""

import pytest
import torch
from PIL import Image

from ebmnist.data.images import read_images
from ebmnist.errors import BadInput
from ebmnist.reporting.grid import BORDER_GREY
from ebmnist.reporting.plots import image_grid, save_grid


def random_images(n):
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 1, 28, 28), generator=rng) / 255


@pytest.mark.parametrize(("n", "columns", "rows"), [(1, 1, 1), (6, 3, 2), (7, 3, 3), (2, 5, 1)])
def test_size_is_two_and_thirty_a_tile(n, columns, rows):
    assert image_grid(random_images(n), columns).size == (2 + 30 * columns, 2 + 30 * rows)


def test_tile_sits_at_its_row_and_column():
    images = random_images(6)
    picture = image_grid(images, 3)
    tile = picture.crop((2 + 30 * 2, 2 + 30, 30 * 3, 30 * 2))  # row 1, column 2: the sixth
    assert list(tile.tobytes()) == (255 * images[5]).round().int().flatten().tolist()


def test_border_and_empty_cells_are_grey():
    picture = image_grid(torch.ones(3, 1, 28, 28), 2)
    assert picture.getpixel((0, 0)) == picture.getpixel((61, 61)) == picture.getpixel((45, 45)) == BORDER_GREY
    assert picture.getpixel((15, 45)) == 255


def test_png_round_trip_is_exact(tmp_path):
    images = random_images(9)
    path = save_grid(images, tmp_path / "grid.png")
    assert torch.equal(read_images(path), images)


def test_n_columns_is_obeyed(tmp_path):
    with Image.open(save_grid(random_images(6), tmp_path / "g.png", n_columns=6)) as picture:
        assert picture.size == (182, 32)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(0, 1, 28, 28),
        torch.zeros(4, 28, 28),
        torch.full((1, 1, 28, 28), float("nan")),
        torch.full((1, 1, 28, 28), 1.5),
    ],
    ids=["none", "shape", "nan", "range"],
)
def test_bad_images_are_refused_and_nothing_is_written(images, tmp_path):
    with pytest.raises(BadInput, match="grid:"):
        save_grid(images, tmp_path / "grid.png")
    assert not list(tmp_path.iterdir())


def test_bad_places_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"use \.png"):
        save_grid(random_images(1), tmp_path / "grid.jpg")
    with pytest.raises(BadInput, match="not written"):
        save_grid(random_images(1), tmp_path / "missing" / "grid.png")
    with pytest.raises(BadInput, match="n_columns"):
        image_grid(random_images(1), 0)
