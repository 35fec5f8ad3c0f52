"""Energy histograms: which sets share a stretch of the axis, what counts as an outlier, refusals."""

import pytest
import torch
from PIL import Image

from ebmnist.errors import BadInput
from ebmnist.reporting.plots import save_energies
from ebmnist.reporting.plots.energies import _spread, _stretches


def normal(mean, std, n=500):
    return mean + std * torch.randn(n, generator=torch.Generator().manual_seed(4))


def grouped(**sets):
    spreads = [_spread(name, values, "#000000") for name, values in sets.items()]
    return [[spread.name for spread in stretch] for stretch in _stretches(spreads)]


def test_far_noise_gets_a_stretch_of_its_own():
    sets = {"noise": normal(100, 5), "train": normal(0, 1), "test": normal(0.1, 1)}
    assert [sorted(names) for names in grouped(**sets)] == [["test", "train"], ["noise"]]


def test_neighbours_and_overlapping_sets_share_a_stretch():
    assert grouped(a=normal(0, 1), b=normal(8, 1)) == [["a", "b"]]
    assert grouped(a=normal(0, 0.01), b=normal(0, 50)) == [["b", "a"]]


def test_outliers_do_not_set_the_axis():
    spread = _spread("replay", torch.cat([torch.linspace(0, 1, 100), torch.tensor([1e6])]), "#000000")
    assert (spread.low, spread.high) == (0.0, 1.0)
    assert spread.values.size == 101


@pytest.mark.parametrize(
    "energies",
    [
        {"train": normal(-1, 0.3), "samples": normal(-1.2, 0.3), "noise": normal(1e4, 3)},
        {"one": torch.tensor([2.0])},
        {"constant": torch.zeros(9), "other": normal(0, 1)},
        {f"set {i}": normal(i, 1) for i in range(9)},
    ],
    ids=["far", "single", "constant", "nine"],
)
def test_draws(tmp_path, energies):
    with Image.open(save_energies(energies, tmp_path / "e.png", recipe="default")) as picture:
        picture.load()
        assert picture.width == 1180


@pytest.mark.parametrize("bad", [{}, {"a": torch.zeros(0)}, {"a": torch.tensor([1.0, float("nan")])}])
def test_refusals(tmp_path, bad):
    with pytest.raises(BadInput, match="energies:"):
        save_energies(bad, tmp_path / "e.png", recipe="default")
    assert not list(tmp_path.iterdir())
