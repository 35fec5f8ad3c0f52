"""What every start must obey: draw, put, save and restore."""

import pytest
import torch

from ebmnist.sampling.start import REGISTRY

KINDS = pytest.mark.parametrize("kind", REGISTRY)
X_POS = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def go_on(start, rng: torch.Generator, n: int) -> list[torch.Tensor]:
    """Draw, move and put back `n` times; return what was drawn."""
    drawn = []
    for _ in range(n):
        draw = start.draw(X_POS, rng)
        drawn.append(draw.x.clone())
        start.put(draw, 0.5 * draw.x, 3)
    return drawn


@KINDS
@pytest.mark.parametrize("shape", [(6, 1, 4, 4), (6, 2), (1, 3)], ids=str)
def test_one_starting_point_per_row(kind, shape):
    x_pos = torch.rand(shape)
    draw = REGISTRY[kind]().draw(x_pos, seeded(0))
    assert draw.x.shape == shape
    assert draw.x.dtype == torch.float32
    assert draw.x.device == x_pos.device
    assert ((draw.x >= 0) & (draw.x <= 1)).all()


@KINDS
def test_same_seed_same_starts(kind):
    one, two = (go_on(REGISTRY[kind](), seeded(0), 4) for _ in range(2))
    assert all(map(torch.equal, one, two))


@KINDS
def test_the_global_stream_and_the_data_are_left_alone(kind):
    before, kept = torch.get_rng_state(), X_POS.clone()
    go_on(REGISTRY[kind](), seeded(0), 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(X_POS, kept)


@KINDS
def test_all_its_tensors_round_trip(kind):
    """Restored into another one, it hands out what the first would have."""
    start, rng = REGISTRY[kind](), seeded(0)
    go_on(start, rng, 3)
    saved = {name: value.clone() for name, value in start.tensors().items()}
    other = REGISTRY[kind]()
    other.restore(saved)
    assert other.tensors().keys() == saved.keys()
    assert all(torch.equal(other.tensors()[name], value) for name, value in saved.items())
    expected = go_on(start, rng.clone_state(), 3)
    assert all(map(torch.equal, go_on(other, rng.clone_state(), 3), expected))


@KINDS
def test_a_fresh_one_round_trips_too(kind):
    other = REGISTRY[kind]()
    other.restore(REGISTRY[kind]().tensors())
    assert all(map(torch.equal, go_on(other, seeded(0), 2), go_on(REGISTRY[kind](), seeded(0), 2)))


@KINDS
def test_putting_back_keeps_no_graph(kind):
    start = REGISTRY[kind]()
    draw = start.draw(X_POS, seeded(0))
    start.put(draw, draw.x.clone().requires_grad_() * 2, 1)
    assert not any(value.requires_grad for value in start.tensors().values())
