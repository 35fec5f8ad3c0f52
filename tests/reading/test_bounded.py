import gzip
import lzma
import tracemalloc
from functools import partial

import pytest

from ebmnist.errors import BadInput
from ebmnist.reading import inflate, read_bytes


def test_a_file_is_read_up_to_its_limit(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(BadInput, match=r"x: over 4 bytes, more than is read of such a file"):
        read_bytes(path, 4)


def test_a_small_file_costs_no_more_than_it_has(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    tracemalloc.start()
    read_bytes(tmp_path / "x", 10**9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_what_cannot_be_read_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "absent", tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(BadInput, match=r"^[^\n]*cannot be read \([^\n]+\)$"):
            read_bytes(path)


@pytest.mark.parametrize("how", [bytes, gzip.compress, lzma.compress])
def test_inflated_up_to_a_limit(how):
    assert inflate(how(b"x" * 1000), "name", 1000) == b"x" * 1000
    with pytest.raises(BadInput, match="name: holds over 999 bytes when decompressed"):
        inflate(how(b"x" * 1000), "name", 999)


@pytest.mark.parametrize("how", [gzip.compress, lzma.compress])
def test_a_file_of_several_members_is_their_sum(how, monkeypatch):
    assert inflate(how(b"a") + how(b"b"), "name") == b"ab"
    monkeypatch.setattr("ebmnist.reading.bounded.PIECE", 7)
    assert inflate(how(b"abc" * 5) + how(b"") + how(b"de" * 20), "name") == b"abc" * 5 + b"de" * 20


@pytest.mark.parametrize("how", [gzip.compress, partial(lzma.compress, preset=0)])
def test_what_is_inflated_is_held_once(how):
    content = how(bytes(20_000_000))
    tracemalloc.start()
    inflate(content, "name")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


@pytest.mark.parametrize("how", [gzip.compress, lzma.compress])
def test_a_cut_or_changed_one_is_corrupt(how):
    content = how(b"x" * 1000)
    for damaged in (content[:-5], content[:-6] + bytes([content[-6] ^ 255]) + content[-5:]):
        with pytest.raises(BadInput, match="name: corrupt compressed file"):
            inflate(damaged, "name")
