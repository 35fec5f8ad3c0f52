"""A file of many rows in chunks: it appears whole, goes on where it was stopped, and is what one call draws."""

import errno
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ebmnist.cli import main
from ebmnist.commands import sampling
from ebmnist.data import read_images
from ebmnist.data.png import read_png
from ebmnist.errors import BadInput
from ebmnist.reporting import atomic, chunks
from ebmnist.reporting.chunks import Chunks, Format, npy_format
from ebmnist.reporting.tar import TAR, tar_of

ASKED = {"n": 7, "seed": 0}
LINES = Format(header=b"name\n", footer=b"end\n")


def images_file(path: Path) -> Chunks:
    return Chunks(path, 7, 3, npy_format(7, "<f4", (1, 28, 28)))


def test_chunks_in_any_order_make_the_file_that_numpy_would_write(tmp_path: Path) -> None:
    x = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0)).numpy()
    file = images_file(tmp_path / "x.npy")
    file.begin(ASKED)
    for chunk in (2, 0):
        file.write(chunk, x[file.rows(chunk)].tobytes())
        with pytest.raises(BadInput, match=r"x.npy.part: has . of 3 chunks"):
            file.finish()
        assert not file.path.exists()
    file.begin(ASKED)  # as after a kill
    assert file.missing() == [1]
    file.write(1, x[3:6].tobytes())
    file.finish()
    np.save(tmp_path / "y.npy", x)
    assert file.path.read_bytes() == (tmp_path / "y.npy").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.npy"]


def test_rows_of_any_length_are_joined_in_order(tmp_path: Path) -> None:
    file = Chunks(tmp_path / "x.txt", 5, 2, LINES)
    file.begin(ASKED)
    for chunk, rows in ((1, b"ccc\nd\n"), (2, b"\n"), (0, b"a\nbb\n")):
        file.write(chunk, rows)
    assert not file.path.exists()
    file.finish()
    assert file.path.read_text() == "name\na\nbb\nccc\nd\n\nend\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_a_file_of_one_chunk_is_written_at_once(tmp_path: Path) -> None:
    file = Chunks(tmp_path / "x.txt", 2, 2, LINES)
    file.begin(ASKED)
    assert not list(tmp_path.iterdir())
    file.write(0, b"a\nb\n")
    file.finish()
    assert file.path.read_text() == "name\na\nb\nend\n"


def test_records_have_the_header_that_numpy_writes(tmp_path: Path) -> None:
    records = np.array([(1.5, True), (2.5, False)], [("energy", "<f4"), ("outlier", "?")])
    Chunks(tmp_path / "x.npy", 2, 2, npy_format(2, records.dtype)).write(0, records.tobytes())
    assert (np.load(tmp_path / "x.npy", mmap_mode="r") == records).all()


def test_rows_of_another_request_are_not_mixed_in(tmp_path: Path) -> None:
    images_file(tmp_path / "x.npy").begin(ASKED)
    with pytest.raises(BadInput, match=r"another seed, 0 and not 1; delete .*x.npy.part"):
        images_file(tmp_path / "x.npy").begin(ASKED | {"seed": 1})


def test_a_kill_after_the_file_has_its_name_leaves_nothing_that_a_later_request_would_use(tmp_path: Path) -> None:
    file = images_file(tmp_path / "x.npy")
    file.begin(ASKED)
    for chunk in range(3):
        file.write(chunk, bytes(784 * 4 * len(file.rows(chunk))))
    (file.folder / "whole").replace(file.path)
    file.begin(ASKED | {"seed": 1})
    assert file.missing() == [0, 1, 2]


@pytest.mark.parametrize("form", [npy_format(7, "<f4"), LINES], ids=["in place", "joined"])
def test_a_full_disk_leaves_the_chunk_missing(tmp_path: Path, form: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Chunks(tmp_path / "x", 7, 3, form)
    file.begin(ASKED)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for module in (atomic, chunks):
        monkeypatch.setattr(module, "flush_to_disk", full)
    with pytest.raises(BadInput, match="free some space"):
        file.write(0, bytes(12))
    assert file.missing() == [0, 1, 2]


def test_a_tar_in_chunks_is_what_tarfile_reads(tmp_path: Path) -> None:
    x = torch.randint(256, (7, 1, 28, 28), generator=torch.Generator().manual_seed(0)).float() / 255
    file = Chunks(tmp_path / "x.tar", 7, 3, TAR)
    file.begin(ASKED)
    for chunk in range(3):
        rows = file.rows(chunk)
        file.write(chunk, tar_of(x[rows.start : rows.stop], rows.start))
    file.finish()
    with tarfile.open(file.path) as tar:
        members = {member.name: tar.extractfile(member) for member in tar}
        pictures = [read_png(data.read(), name) for name, data in members.items() if data is not None]
    assert list(members) == [f"{i:09d}.png" for i in range(7)]
    assert torch.equal(torch.cat(pictures).unsqueeze(1), x)
    assert tar_of(x, 0) + TAR.footer == file.path.read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".tar"])
def test_the_command_draws_what_one_call_would_and_goes_on_after_a_stop(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", "pretrained", "--sampler", "ancestral", "--n", "7", "--steps", "8", "--seed", "3", "--out"]
    draw, drawn = sampling.sample, []
    one, other = tmp_path / f"x{suffix}", tmp_path / f"y{suffix}"

    def stopped(*args: Any, **how: Any) -> torch.Tensor:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(how["begin"])
        return draw(*args, **how)

    monkeypatch.setattr(sampling, "CHUNK", 3)
    with monkeypatch.context() as patch:
        patch.setattr(sampling, "sample", stopped)
        assert main([*words, str(one)]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert main([*words, str(one)]) == 0
    assert "2 of 3 chunks are there" in capsys.readouterr().err
    monkeypatch.setattr(sampling, "CHUNK", 100)
    assert main([*words, str(other)]) == 0
    assert one.read_bytes() == other.read_bytes()
    if suffix == ".npy":
        assert len(read_images(one)) == 7
