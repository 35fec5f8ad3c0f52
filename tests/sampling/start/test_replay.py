"""The replay buffer: every slot is one chain through time."""

import math

import pytest
import torch

from ebmnist.errors import BadInput
from ebmnist.random import Rng
from ebmnist.sampling import Draw, ReplayBuffer

BATCH = torch.zeros(4, 2, 3)  # what a draw takes its shape from


def filled(rng, size: int = 10, fresh_fraction: float = 0.0) -> ReplayBuffer:
    buffer = ReplayBuffer(size, fresh_fraction)
    buffer.draw(BATCH, rng)
    return buffer


def test_it_fills_with_uniform_noise_at_its_first_draw(rng):
    buffer = ReplayBuffer(2_000, 0.0)
    assert len(buffer.tensors()["images"]) == 0
    buffer.draw(BATCH, rng)
    assert buffer.images.shape == (2_000, 2, 3)
    assert 0 <= buffer.images.min() < 0.01
    assert 0.99 < buffer.images.max() < 1
    assert buffer.images.mean().item() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / 12_000))
    assert (buffer.age == 0).all()
    assert buffer.lineage.tolist() == list(range(2_000))


def test_chains_are_written_back_to_the_slots_they_came_from(rng):
    buffer = filled(rng)
    before = buffer.images.clone()
    draw = buffer.draw(BATCH, rng)
    assert torch.equal(draw.x, before[draw.slots])
    assert torch.equal(buffer.images, before)  # drawing moves nothing
    buffer.put(draw, draw.x + 1, 20)
    assert sorted(buffer.step_index.tolist()) == sorted(buffer.age.tolist()) == [0] * 6 + [20] * 4
    others = torch.ones(10, dtype=torch.bool)
    others[draw.slots] = False
    assert torch.equal(buffer.images[draw.slots], before[draw.slots] + 1)
    assert torch.equal(buffer.images[others], before[others])


def test_slots_of_one_draw_are_distinct(rng):
    buffer = filled(rng, size=4)
    for _ in range(20):
        assert sorted(buffer.draw(BATCH, rng).slots.tolist()) == [0, 1, 2, 3]


def test_every_slot_is_as_likely(rng):
    buffer = filled(rng)
    n = 2_000
    counts = torch.zeros(10)
    for _ in range(n):
        counts[buffer.draw(BATCH, rng).slots] += 1
    assert ((counts - 0.4 * n).abs() < 4.5 * math.sqrt(n * 0.4 * 0.6)).all()


def test_ages_and_lineages_follow_each_chain(rng):
    """Against a plain dictionary of what each slot has lived through."""
    buffer = filled(rng, fresh_fraction=0.3)
    ages, lineages = buffer.age.tolist(), buffer.lineage.tolist()
    seen, n_born, n_fresh = set(lineages), buffer.n_born.item(), 0
    for i in range(100):
        images = buffer.images.clone()
        draw = buffer.draw(BATCH, rng)
        fresh = (draw.x != images[draw.slots]).flatten(1).all(1)
        for slot, is_fresh in zip(draw.slots.tolist(), fresh.tolist(), strict=True):
            if is_fresh:
                ages[slot], n_fresh = 0, n_fresh + 1
                lineages[slot] = buffer.lineage[slot].item()
                assert lineages[slot] not in seen  # a lineage of its own, never used before
                seen.add(lineages[slot])
            ages[slot] += i
        buffer.put(draw, draw.x + 1, i)
        assert buffer.age.tolist() == ages
        assert buffer.lineage.tolist() == lineages
    assert n_fresh > 50
    assert buffer.n_born == n_born + n_fresh
    assert len(set(buffer.lineage.tolist())) == 10


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.5, 1.0])
def test_the_fresh_fraction_is_what_it_says(fraction, rng):
    buffer = ReplayBuffer(4, fraction)
    n = 4 * 1_000
    for _ in range(1_000):
        buffer.put(buffer.draw(BATCH, rng), torch.full_like(BATCH, 9.0), 1)
    n_fresh = buffer.n_born.item() - 4
    assert abs(n_fresh - n * fraction) <= 4.5 * math.sqrt(n * fraction * (1 - fraction))


def test_fresh_chains_begin_in_uniform_noise(rng):
    buffer = filled(rng, size=4, fresh_fraction=1.0)
    buffer.put(buffer.draw(BATCH, rng), torch.full_like(BATCH, 9.0), 5)
    x = buffer.draw(BATCH, rng).x
    assert x.min() >= 0
    assert x.max() < 1
    assert x.unique().numel() == x.numel()


def test_same_seed_same_chains():
    def run():
        rng, buffer = torch.Generator().manual_seed(3), ReplayBuffer(10, 0.3)
        for _ in range(5):
            draw = buffer.draw(BATCH, rng)
            buffer.put(draw, 0.9 * draw.x, 2)
        return buffer.tensors()

    first, second = run(), run()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_put_keeps_no_graph(rng):
    buffer = filled(rng)
    draw = buffer.draw(BATCH, rng)
    buffer.put(draw, draw.x.clone().requires_grad_() * 2, 1)
    assert not buffer.images.requires_grad


def test_a_batch_larger_than_the_buffer_is_refused(rng):
    with pytest.raises(BadInput, match="a batch of 4 needs a buffer of at least that size, not 3"):
        ReplayBuffer(3).draw(BATCH, rng)


@pytest.mark.parametrize(("age", "rate"), [(0, 0.2), (300, 0.1), (2_700, 0.02)])
def test_old_chains_restart_more_rarely(age, rate, rng):
    """fresh_fraction · a₀/(a₀ + age), with a₀ = 300."""
    buffer = ReplayBuffer(4, 0.2, age_scale=300)
    buffer.draw(BATCH, rng)
    n_born = buffer.n_born.item()
    for _ in range(1_000):
        buffer.age.fill_(age)
        buffer.draw(BATCH, rng)
    n_fresh = buffer.n_born.item() - n_born
    assert abs(n_fresh - 4_000 * rate) <= 4.5 * math.sqrt(4_000 * rate * (1 - rate))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_restarts_begins_at_real_images(share, rng):
    buffer, real = ReplayBuffer(4, 1.0, from_data=share), torch.full_like(BATCH, 7.0)
    n_real = sum(int((buffer.draw(real, rng).x == 7.0).flatten(1).all(1).sum()) for _ in range(1_000))
    assert abs(n_real - 4_000 * share) <= 4.5 * math.sqrt(4_000 * share * (1 - share))


@pytest.mark.parametrize("fields", [{"age_scale": 0}, {"from_data": -0.1}, {"from_data": 1.1}])
def test_bad_ages_and_shares_are_refused(fields):
    with pytest.raises(BadInput, match="replay: age_scale must be ≥ 1 or null, from_data in"):
        ReplayBuffer(8, **fields)


@pytest.mark.parametrize(("share", "from_data"), [(0.0, 0.0), (0.3, 0.0), (0.2, 0.8), (1.0, 0.0)])
def test_a_share_of_the_restarts_begins_at_corrupted_data_and_anywhere_in_a_cycle(share, from_data, rng):
    """Chains from corrupted data are those whose step_index does not begin at 0: corrupted 5s, of mean 5/2 + 1/8."""
    buffer, real = ReplayBuffer(100, 1.0, corrupted_fraction=share, from_data=from_data), torch.full((100, 8, 8), 5.0)
    draws = [buffer.draw(real, rng) for _ in range(20)]
    x, step_index = (torch.cat(parts) for parts in zip(*((draw.x, draw.step_index) for draw in draws), strict=True))
    restarted = step_index > 0
    assert abs(restarted.sum().item() - 2000 * share) <= 4.5 * math.sqrt(2000 * share * (1 - share)) + 1
    if from_data:
        assert x[~restarted].eq(5).all()
    else:
        assert x[~restarted].le(1).all()  # uniform noise
    if share:
        n = int(restarted.sum())
        assert x[restarted].mean().item() == pytest.approx(5 / 2 + 1 / 8, abs=4.5 * 5 / math.sqrt(12 * n))
        assert len(x[restarted].flatten(1).unique(dim=0)) == n
        quarters = torch.bincount(step_index[restarted] % 128 // 32, minlength=4)
        assert ((quarters - n / 4).abs() < 4.5 * math.sqrt(n * 3 / 16)).all()


def test_the_step_index_runs_on_after_a_restart_from_corrupted_data_while_its_age_begins_anew(rng):
    buffer = ReplayBuffer(4, 1.0, corrupted_fraction=1.0)
    draw = buffer.draw(BATCH, rng)
    buffer.put(draw, draw.x, 7)
    assert buffer.age.tolist() == [7] * 4
    assert torch.equal(buffer.step_index[draw.slots], draw.step_index + 7)


@pytest.mark.parametrize(
    "fields", [{"corrupted_fraction": -0.1}, {"corrupted_fraction": 1.1}, {"corrupted_fraction": 0.6, "from_data": 0.5}]
)
def test_shares_of_more_than_all_restarts_are_refused(fields):
    with pytest.raises(BadInput, match="replay: corrupted_fraction must be in"):
        ReplayBuffer(8, **fields)


@pytest.mark.parametrize(("size", "fraction"), [(0, 0.1), (8, -0.1), (8, 1.1), (8, math.nan)])
def test_bad_fields_are_refused(size, fraction):
    with pytest.raises(BadInput, match="replay: size must be ≥ 1"):
        ReplayBuffer(size, fraction)


# Mending and saving.


def test_invalid_chains_are_replaced_by_noise(rng):
    buffer = filled(rng)
    buffer.put(draw := buffer.draw(BATCH, rng), torch.full_like(BATCH, math.nan), 7)
    invalid = buffer.images.isnan().flatten(1).all(1)
    kept = buffer.images[~invalid].clone()
    buffer.replace(invalid, None, rng)
    assert buffer.images.isfinite().all()
    assert torch.equal(buffer.images[~invalid], kept)
    assert buffer.age[draw.slots].tolist() == buffer.step_index[draw.slots].tolist() == [0] * 4
    assert sorted(buffer.lineage[draw.slots].tolist()) == [10, 11, 12, 13]
    assert buffer.n_born == 14


def test_invalid_chains_are_replaced_by_their_healthy_past(rng):
    buffer = filled(rng)
    past = {name: value.clone() for name, value in buffer.tensors().items()}
    buffer.put(buffer.draw(BATCH, rng), torch.full_like(BATCH, math.nan), 7)
    invalid = buffer.images.isnan().flatten(1).all(1)
    buffer.replace(invalid, past, rng)
    assert all(torch.equal(now, past[name]) for name, now in buffer.tensors().items())


def test_replacing_nothing_changes_nothing(rng):
    buffer = filled(rng)
    past = {name: value.clone() for name, value in buffer.tensors().items()}
    buffer.replace(torch.zeros(10, dtype=torch.bool), None, rng)
    assert all(torch.equal(now, past[name]) for name, now in buffer.tensors().items())


def test_restore_takes_a_copy(rng):
    buffer, other = filled(rng), ReplayBuffer(10)
    other.restore(buffer.tensors())
    saved = {name: value.clone() for name, value in buffer.tensors().items()}
    other.put(Draw(BATCH, torch.arange(4)), BATCH - 1, 3)
    assert all(torch.equal(now, saved[name]) for name, now in buffer.tensors().items())
    assert other.age.tolist() == other.step_index.tolist() == [3] * 4 + [0] * 6


def test_an_empty_buffer_restores_to_an_empty_one(rng):
    buffer = filled(rng)
    buffer.restore(ReplayBuffer(10).tensors())
    assert len(buffer.images) == 0
    assert len(buffer.draw(BATCH, rng).x) == 4


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({}, "do not both have age, images, lineage, n_born, step_index: use the kind of start, and the version"),
        (
            {k: v for k, v in ReplayBuffer(10).tensors().items() if k != "step_index"},
            "do not both have step_index: use",
        ),
        ({**ReplayBuffer(10).tensors(), "draw": BATCH}, "do not both have draw: use"),
        ({**ReplayBuffer(10).tensors(), "images": torch.zeros(7, 2, 3)}, "has 7 chains, this one 10"),
    ],
)
def test_the_state_of_another_start_is_refused(tensors, words):
    with pytest.raises(BadInput, match=words):
        ReplayBuffer(10).restore(tensors)


def test_chains_restart_where_they_would_if_all_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU only those that restart are drawn."""
    x_pos = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    def drawn(all_rows: bool) -> list[Draw]:
        buffer = ReplayBuffer(32, fresh_fraction=0.2, from_data=0.3, corrupted_fraction=0.4)
        if all_rows:
            monkeypatch.setattr(buffer, "_beginnings", lambda x, _, rng: buffer._beginnings_of(x, rng))
        rng = Rng(1)
        return [buffer.draw(x_pos, rng) for _ in range(10)]

    for some, every in zip(drawn(False), drawn(True), strict=True):
        assert torch.equal(some.x, every.x)
        assert some.step_index is not None
        assert every.step_index is not None
        assert torch.equal(some.step_index, every.step_index)
