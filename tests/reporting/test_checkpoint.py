import errno
import json
import math
import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ebmnist.errors import BadInput
from ebmnist.reporting.checkpoint import (
    CHECKSUMS,
    FACTS,
    TENSORS,
    Checkpoint,
    fingerprint,
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    prune,
    prune_after,
    save_checkpoint,
)

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64]
DTYPES += [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


def bits(x):
    return x.contiguous().flatten().view(torch.uint8) if x.dtype != torch.bool else x.flatten().byte()


def save(folder, step, value=0.0):
    return save_checkpoint(folder, tensors={"w": torch.full((40,), value)}, facts={"step": step, "value": value})


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4), st.integers(0, 10**12))
def test_facts_come_back_as_they_were(facts, step):
    facts = facts | {"step": step}
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), tensors={}, facts=facts)
        back = load_checkpoint(Path(folder)).facts
    assert back == facts
    assert repr(back) == repr(facts)  # −0.0, 1 and 1.0 and True are told apart; order is kept


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=4), st.integers(0, 2**32))
def test_every_bit_of_a_tensor_comes_back(dtype, shape, seed):
    rng = torch.Generator().manual_seed(seed)
    size = math.prod(shape) * dtype.itemsize
    x = torch.randint(0, 2 if dtype == torch.bool else 256, (size,), generator=rng, dtype=torch.uint8)
    x = (x.bool() if dtype == torch.bool else x.view(dtype)).reshape(shape)  # NaNs of every payload among them
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), tensors={"x": x}, facts={"step": 0})
        back = load_checkpoint(Path(folder)).tensors["x"]
    assert (back.dtype, back.shape) == (x.dtype, x.shape)
    assert torch.equal(bits(back), bits(x))


def test_memory_format_sharing_and_gradients_do_not_matter(tmp_path):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, 5, 5, generator=rng)
    tensors = {
        "channels_last": x.to(memory_format=torch.channels_last),
        "transposed": x[0, 0].T,
        "expanded": x[:1].expand(7, 3, 5, 5),
        "part": x[1:3],
        "same": x,
        "parameter": torch.nn.Parameter(x),
        "scalar": torch.tensor(0.1),
    }
    save_checkpoint(tmp_path, tensors=tensors, facts={"step": 1})
    back = load_checkpoint(tmp_path).tensors
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor), name
        assert back[name].is_contiguous()
        assert not back[name].requires_grad
    # What is read is one's own to write on.
    back["same"].zero_()
    assert back["part"].count_nonzero() > 0


def test_a_random_stream_goes_on(tmp_path):
    rng = torch.Generator().manual_seed(3)
    torch.rand(5, generator=rng)
    save_checkpoint(tmp_path, tensors={"rng": rng.get_state()}, facts={"step": 0})
    again = torch.Generator()
    again.set_state(load_checkpoint(tmp_path).tensors["rng"])
    assert torch.equal(torch.randn(9, generator=again), torch.randn(9, generator=rng))


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        ({"step": 0, "gap": math.nan}, "fact 'gap' is not JSON"),
        ({"step": 0, "gap": [math.inf]}, "fact 'gap' is not JSON"),
        ({"step": 0, "x": torch.ones(1)}, "fact 'x' is not JSON"),
        ({"step": 0, "x": (1, 2)}, "fact 'x' would change"),
        ({"step": 0, "x": {1: 2}}, "fact 'x' would change"),
        ({"step": -1}, "whole number"),
        ({"step": 1.0}, "whole number"),
        ({}, "whole number"),
    ],
)
def test_facts_that_json_would_change_are_refused_and_nothing_is_written(tmp_path, facts, match):
    with pytest.raises(ValueError, match=match):
        save_checkpoint(tmp_path / "c", tensors={}, facts=facts)
    assert list(tmp_path.iterdir()) == []


def test_latest_takes_a_run_its_checkpoints_or_one(tmp_path):
    for step in (999_999_999, 2, 10):
        save(tmp_path / "checkpoints", step)
    last = tmp_path / "checkpoints" / "step-999999999"
    assert last.is_dir()
    for path in (tmp_path, tmp_path / "checkpoints", last):
        assert latest_checkpoint(path) == last
    assert load_checkpoint(tmp_path).facts["step"] == 999_999_999
    older = tmp_path / "checkpoints" / "step-00000010"
    assert latest_checkpoint(older) == older
    renamed = older.rename(tmp_path / "best")
    assert load_checkpoint(renamed).facts["step"] == 10


def test_where_there_is_no_checkpoint_one_line_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(BadInput, match=rf"^{path}: [^\n]+$"):
            load_checkpoint(path)


def test_prune_keeps_the_newest(tmp_path):
    for step in (5, 1, 9, 3):
        save(tmp_path, step)
    prune(tmp_path, 2)
    assert list(list_checkpoints(tmp_path)) == [5, 9]
    prune_after(tmp_path, 5)
    assert list(list_checkpoints(tmp_path)) == [5]
    prune(tmp_path, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000005"]
    with pytest.raises(ValueError, match="keep"):
        prune(tmp_path, 0)


def test_a_save_sweeps_what_a_killed_one_left(tmp_path):
    save(tmp_path, 1)
    (tmp_path / ".tmp-step-00000002-1").mkdir()
    (tmp_path / ".tmp-step-00000002-1" / TENSORS).write_bytes(b"half")
    (tmp_path / "step-00000001").rename(tmp_path / ".replaced-step-00000001")
    assert load_checkpoint(tmp_path).facts["step"] == 1  # killed between the two renames of a replacement
    save(tmp_path, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]


# Damage


def flips(content, positions):
    return [content[:i] + bytes([content[i] ^ (1 << i % 8)]) + content[i + 1 :] for i in positions]


@pytest.mark.parametrize("name", [TENSORS, FACTS, CHECKSUMS])
def test_no_byte_can_change_unnoticed(tmp_path, name):
    file = save(tmp_path, 1, 0.5) / name
    content = file.read_bytes()
    cuts = [content[:n] for n in range(0, len(content), 7)] + [content[:-1], content + b"\n"]
    for damaged in flips(content, range(len(content))) + cuts:
        file.write_bytes(damaged)
        with pytest.raises(BadInput, match=r"^[^\n]+$"):
            load_checkpoint(tmp_path)
    file.write_bytes(content)
    assert load_checkpoint(tmp_path).facts["value"] == 0.5


@pytest.mark.parametrize("name", [TENSORS, FACTS, CHECKSUMS])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "deleted", "folder"])
def test_damage_names_the_file_and_the_way_out(tmp_path, name, damage):
    save(tmp_path, 1)
    save(tmp_path, 2)
    file = save(tmp_path, 3) / name
    content = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "deleted":
        file.write_bytes(flips(content, [0])[0] if damage == "flipped" else content[:-3])
    saying = {"deleted": "missing", "folder": "cannot be read"}.get(damage, "altered or truncated")
    with pytest.raises(BadInput, match=rf"^{file}: {saying}[^\n]*; use the one before: {tmp_path}/step-00000002$"):
        load_checkpoint(tmp_path)
    # The one before is named only while it is good itself.
    (tmp_path / "step-00000002" / FACTS).write_text("{}")
    with pytest.raises(BadInput, match=r"use the one before: .*step-00000001$"):
        load_checkpoint(tmp_path)
    with pytest.raises(BadInput, match=r"use the one before: .*step-00000001$"):
        load_checkpoint(tmp_path / "step-00000002")
    (tmp_path / "step-00000001" / TENSORS).unlink()
    with pytest.raises(BadInput, match=rf"^{file}: {saying}.*no good one is left beside it"):
        load_checkpoint(tmp_path)


def test_of_a_damaged_oldest_the_next_is_named(tmp_path):
    (save(tmp_path, 1) / FACTS).unlink()
    save(tmp_path, 2)
    with pytest.raises(BadInput, match=r"use the one after: .*step-00000002$"):
        load_checkpoint(tmp_path / "step-00000001")


def test_another_format_says_which(tmp_path):
    file = save(tmp_path, 1) / CHECKSUMS
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}, indent=1))
    with pytest.raises(BadInput, match=r"^\S+step-00000001: of format 2, and this ebmnist reads 1: [^\n]+$"):
        load_checkpoint(tmp_path)


# A full disk


def survives(folder):
    assert [p.name for p in folder.iterdir()] == ["step-00000001"]
    assert load_checkpoint(folder).facts["value"] == 0.25


@pytest.mark.parametrize("step", [1, 2], ids=["replacing", "new"])
@pytest.mark.parametrize("call", range(4))
def test_a_full_disk_leaves_the_last_good_one(tmp_path, monkeypatch, call, step):
    save(tmp_path, 1, 0.25)
    real, calls = os.fsync, []

    def fsync(handle):
        calls.append(handle)
        if len(calls) == call + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BadInput, match=r"free some space there, then resume; the last good checkpoint is \S+$"):
        save(tmp_path, step, 0.75)
    survives(tmp_path)


@pytest.mark.parametrize("step", [1, 2], ids=["replacing", "new"])
def test_a_write_that_stops_halfway_leaves_the_last_good_one(tmp_path, largest_file, step):
    save(tmp_path, 1, 0.25)
    big = {"w": torch.ones(1_000_000)}
    with largest_file(2_000_000), pytest.raises(BadInput, match="File too large"):
        save_checkpoint(tmp_path, tensors=big, facts={"step": step})
    survives(tmp_path)


def test_a_fingerprint_is_of_the_averaged_weights_and_the_recipe():
    tensors, facts = (
        {"ema.w": torch.arange(6.0).view(2, 3), "start.images": torch.rand(2)},
        {"recipe": {"a": 1, "b": 2}},
    )
    known = fingerprint(Checkpoint(tensors, facts))
    assert len(known) == 12
    less = {"ema.w": tensors["ema.w"].t().contiguous().t()}  # another memory format, as a clone may have
    assert fingerprint(Checkpoint(less, {"recipe": {"b": 2, "a": 1}, "made": "elsewhere"})) == known
    others = [({"ema.w": tensors["ema.w"] + 1e-6}, facts), (tensors, {"recipe": {"a": 1, "b": 3}})]
    assert known not in [fingerprint(Checkpoint(*other)) for other in others]
