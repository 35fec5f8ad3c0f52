"""The film: as many frames as steps, each held as long as it should be, each showing its own step."""

import numpy as np
import pytest
import torch
from PIL import Image

from ebmnist.errors import BadInput
from ebmnist.reporting.plots import film_steps, image_grid, save_animation, save_film_strip
from ebmnist.reporting.plots.chain import LAST_HOLD, durations

STEPS = [0, 1, 2, 4, 8]


@pytest.fixture
def trajectory():
    return torch.rand(5, 4, 1, 28, 28, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("n", "steps"), [(0, [0]), (1, [0, 1]), (2, [0, 1, 2]), (3, [0, 1, 2, 3]), (8, STEPS), (9, [*STEPS, 9])]
)
def test_film_steps(n, steps):
    assert film_steps(n) == steps


@pytest.mark.parametrize(("n", "steps"), [(0, [0]), (4, [0, 1, 2, 3, 4]), (128, [*range(0, 129, 8)])])
def test_film_steps_of_a_cycle_are_even_and_end_with_it(n, steps):
    assert film_steps(n, cycle=4) == steps


@pytest.mark.parametrize("n", [1, 2, 10, 300])
def test_durations_grow_and_the_last_is_longest(n):
    held = durations(n)
    assert len(held) == n
    assert held == sorted(held)
    assert held[-1] == LAST_HOLD
    assert all(ms >= 20 and ms % 10 == 0 for ms in held)


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_animation_has_its_frames_durations_and_pixels(tmp_path, trajectory, suffix):
    path = save_animation(trajectory, STEPS, tmp_path / f"film.{suffix}")
    held = []
    with Image.open(path) as film:
        assert film.n_frames == len(STEPS)
        assert film.info["loop"] == 0
        for i in range(film.n_frames):
            film.seek(i)
            film.load()
            held.append(film.info["duration"])
            grid = np.asarray(image_grid(trajectory[i], 2)).repeat(6, 0).repeat(6, 1)
            assert np.array_equal(np.asarray(film.convert("L"))[: len(grid)], grid)
    assert held == durations(len(STEPS))


def test_one_frame_is_a_film_too(tmp_path, trajectory):
    with Image.open(save_animation(trajectory[:1], [0], tmp_path / "film.webp")) as film:
        assert film.n_frames == 1


def test_film_strip_has_a_row_per_chain_and_a_column_per_step(tmp_path, trajectory):
    with Image.open(save_film_strip(trajectory, STEPS, tmp_path / "a.png", recipe="default")) as picture:
        full = picture.size
    with Image.open(save_film_strip(trajectory[:, :2], STEPS, tmp_path / "b.png", recipe="default")) as picture:
        assert full[1] - picture.height == 2 * 30 * 6
        assert full[0] == picture.width


@pytest.mark.parametrize("save", [save_animation, lambda *a: save_film_strip(*a, recipe="default")])
def test_bad_trajectories(tmp_path, trajectory, save):
    for bad, steps in [
        (trajectory[:0], []),
        (trajectory, STEPS[1:]),
        (trajectory[0], STEPS),
        (trajectory[:, :0], STEPS),
    ]:
        with pytest.raises(BadInput, match="trajectory"):
            save(bad, steps, tmp_path / "film.webp")
    with pytest.raises(BadInput, match="NaN"):
        save(trajectory * float("nan"), STEPS, tmp_path / "film.webp")
    with pytest.raises(BadInput, match="cannot draw"):
        save(trajectory, STEPS, tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())
