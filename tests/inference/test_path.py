from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ebmnist.errors import Unmeasurable
from ebmnist.inference.path import barrier, refined, relax, straight_line
from ebmnist.sampling.langevin import Langevin
from ebmnist.sampling.mala import MALA

STEP = Langevin(step_size=0.1, temperature=1.0, clip=None, clamp=None)


def double_well(x: Tensor) -> Tensor:
    """E = (x² − 1)² + y²: from (−1, 0) to (1, 0) the least barrier is 1, at the origin."""
    return (x[:, 0].square() - 1).square() + x[:, 1].square()


def ring(x: Tensor) -> Tensor:
    """E = 4 (r − 1)²: a circular valley, with no barrier along it and 4 across it."""
    return 4 * (x.norm(dim=1) - 1).square()


def ends(*points: tuple[float, float]) -> tuple[Tensor, Tensor]:
    a, b = torch.tensor(points).double().unbind()
    return a[None], b[None]


def test_a_straight_line_has_its_ends_and_even_steps() -> None:
    a, b = torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
    line = straight_line(a, b, 5)
    assert torch.equal(line[:, 0], a)
    assert torch.equal(line[:, -1], b)
    torch.testing.assert_close(line[:, 1], 0.75 * a + 0.25 * b)


def test_the_barrier_is_above_the_higher_end() -> None:
    assert barrier(torch.tensor([[0.0, 5.0, 2.0], [3.0, 1.0, 2.0]])).tolist() == [3, 0]


def test_a_refined_straight_line_is_one_of_more_points() -> None:
    a, b = torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
    torch.testing.assert_close(refined(straight_line(a, b, 5), 3), straight_line(a, b, 13))


def test_a_refined_path_goes_through_the_same_images() -> None:
    images = torch.rand(2, 4, 1, 4, 4)
    assert torch.equal(refined(images)[:, ::4], images)


def test_the_saddle_of_a_double_well_is_found_from_a_detour() -> None:
    a, b = ends((-1, 0), (1, 0))
    line = straight_line(a, b, 21)
    line[:, 1:-1, 1] += 1.5  # high above the saddle
    path = relax(double_well, STEP, line, 200)
    assert float(barrier(path.energies)) == pytest.approx(1, abs=0.02)
    assert torch.equal(path.images[:, [0, -1]], line[:, [0, -1]])


def test_a_line_across_a_ring_is_led_around_it() -> None:
    a, b = ends((1, 0.0), (-1, 0.1))
    line = straight_line(a, b, 21)
    assert float(barrier(ring(line[0])[None])) > 3
    path = relax(ring, STEP, line, 200)
    assert float(barrier(path.energies)) < 0.02
    steps = path.images.diff(dim=1).norm(dim=2)
    assert float(steps.max() / steps.min()) < 1.05  # still spread evenly


def test_no_barrier_rises_and_more_sweeps_never_hurt() -> None:
    rng = torch.Generator().manual_seed(0)
    line = straight_line(torch.randn(8, 2, generator=rng), torch.randn(8, 2, generator=rng), 9)
    seen = [barrier(relax(ring, STEP, line, n, step_scale=6.0).energies) for n in (0, 1, 4, 12)]  # steps too large
    torch.testing.assert_close(seen[0], barrier(ring(line.flatten(0, 1)).view(8, 9)))
    assert all((after <= before).all() for before, after in pairwise(seen))


def test_every_kernel_is_relaxed_with_in_its_own_box() -> None:
    a, b = ends((1, 0.0), (-1, 0.1))
    kernel = MALA(step_size=0.1, clamp=(-2.0, 0.4))
    path = relax(ring, kernel, straight_line(a, b, 21), 50)
    assert float(path.images[:, 1:-1].max()) <= 1
    assert torch.isfinite(path.energies).all()


def test_a_path_of_one_image_stays_there() -> None:
    a, _ = ends((1, 0.0), (0, 0))
    path = relax(ring, STEP, straight_line(a, a, 5), 3)
    torch.testing.assert_close(path.images, a[:, None].expand(1, 5, 2))


def test_nan_on_the_way_is_unmeasurable() -> None:
    a, b = ends((1, 0.0), (-1, 0.0))
    with pytest.raises(Unmeasurable, match="on a path between digits is NaN"):
        relax(lambda x: x[:, 0].sqrt(), STEP, straight_line(a, b, 5), 3)
