"""Samples: every one is there, at its place, and out-of-range pixels are clipped."""

import numpy as np
import pytest
import torch
from PIL import Image

from ebmnist.errors import BadInput
from ebmnist.reporting.plots import save_beside_data, save_samples
from ebmnist.reporting.plots.style import HEADER, MARGIN

ORIGIN = {"recipe": "default", "n_steps": 256, "seed": 0}


def test_samples_lie_where_their_tiles_are(tmp_path):
    images = torch.linspace(0, 1, 9).view(9, 1, 1, 1).expand(9, 1, 28, 28)
    path = save_samples(images, tmp_path / "s.png", **ORIGIN, n_columns=3)
    with Image.open(path) as picture:
        grey = np.asarray(picture.convert("L"))
    scale = 6
    centres = MARGIN + scale * (2 + 30 * np.arange(3) + 14)
    found = grey[np.ix_(centres + HEADER - MARGIN, centres)].flatten()
    assert np.abs(found - 255 * images[:, 0, 0, 0].numpy()).max() <= 1.5


def test_pixels_beyond_the_range_are_clipped(tmp_path):
    x = torch.linspace(-1, 2, 784).view(1, 1, 28, 28)
    a = save_samples(x, tmp_path / "a.png", **ORIGIN).read_bytes()
    assert a == save_samples(x.clamp(0, 1), tmp_path / "b.png", **ORIGIN).read_bytes()


def test_the_words_are_in_the_picture(tmp_path):
    x = torch.zeros(1, 1, 28, 28)
    a = save_samples(x, tmp_path / "a.png", **ORIGIN).read_bytes()
    assert a != save_samples(x, tmp_path / "b.png", **ORIGIN | {"seed": 1}).read_bytes()


def test_beside_data_has_black_model_left_and_white_data_right(tmp_path):
    black, white = torch.zeros(4, 1, 28, 28), torch.ones(2, 1, 28, 28)
    with Image.open(save_beside_data(black, white, tmp_path / "b.png", **ORIGIN, n_columns=2)) as picture:
        grey = np.asarray(picture.convert("L"))[HEADER + 60 :]
    middle = grey.shape[1] // 2
    assert (grey[:80, :middle] == 0).sum() > 3000 > (grey[:80, middle:] == 0).sum()


def test_nothing_to_draw(tmp_path):
    none = torch.zeros(0, 1, 28, 28)
    with pytest.raises(BadInput, match="no images"):
        save_samples(none, tmp_path / "s.png", **ORIGIN)
    with pytest.raises(BadInput, match="no images"):
        save_beside_data(torch.zeros(1, 1, 28, 28), none, tmp_path / "s.png", **ORIGIN)
