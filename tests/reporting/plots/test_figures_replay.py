"""The replay buffer's picture, for few and many chains."""

import pytest
import torch
from PIL import Image

from ebmnist.errors import BadInput
from ebmnist.reporting.plots import save_replay


@pytest.mark.parametrize("n", [1, 5, 13, 200])
def test_draws(tmp_path, n):
    age = torch.arange(n) * 20
    path = save_replay(torch.rand(n, 1, 28, 28), age, torch.arange(n) // 3, tmp_path / "r.png", recipe="default")
    with Image.open(path) as picture:
        picture.load()
        assert picture.width == 1166


def test_chains_are_shown_from_young_to_old(tmp_path):
    age = torch.tensor([300, 0, 20, 100])
    images = (age.float() / 300).view(4, 1, 1, 1).expand(4, 1, 28, 28)
    order = age.argsort()
    a = save_replay(images, age, torch.arange(4), tmp_path / "a.png", recipe="default").read_bytes()
    b = save_replay(images[order], age[order], torch.arange(4), tmp_path / "b.png", recipe="default").read_bytes()
    assert a == b


def test_shared_lineages_change_the_picture(tmp_path):
    images, age = torch.zeros(8, 1, 28, 28), torch.full((8,), 20)
    a = save_replay(images, age, torch.arange(8), tmp_path / "a.png", recipe="default").read_bytes()
    assert a != save_replay(images, age, torch.zeros(8), tmp_path / "b.png", recipe="default").read_bytes()


def test_refusals(tmp_path):
    x = torch.zeros(2, 1, 28, 28)
    for images, age in [(x[:0], torch.zeros(0)), (x, torch.zeros(3))]:
        with pytest.raises(BadInput, match="replay:"):
            save_replay(images, age, torch.zeros(len(images)), tmp_path / "r.png", recipe="default")
