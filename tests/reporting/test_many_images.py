"""A file of many images in chunks: it appears whole, goes on where it was stopped, and is what one call draws."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ebmnist.cli import main
from ebmnist.commands import sampling
from ebmnist.data import read_images
from ebmnist.errors import BadInput
from ebmnist.reporting import many_images
from ebmnist.reporting.many_images import ManyImages

ASKED = {"n": 7, "seed": 0}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (many_images, sampling):
        monkeypatch.setattr(module, "CHUNK", 3)


def test_chunks_in_any_order_make_the_file_that_numpy_would_write(tmp_path: Path) -> None:
    x = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    many = ManyImages(tmp_path / "x.npy", 7)
    many.begin(ASKED)
    for chunk in (2, 0):
        many.write(chunk, x[many.rows(chunk).start : many.rows(chunk).stop])
        assert not many.finish()
        assert not many.path.exists()
    many.begin(ASKED)  # as after a kill
    assert many.missing() == [1]
    many.write(1, x[3:6])
    assert many.finish()
    assert not many.finish()
    np.save(tmp_path / "y.npy", x.numpy())
    assert many.path.read_bytes() == (tmp_path / "y.npy").read_bytes()
    assert torch.equal(read_images(many.path), x)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.npy"]


def test_images_of_another_request_are_not_mixed_in(tmp_path: Path) -> None:
    ManyImages(tmp_path / "x.npy", 7).begin(ASKED)
    with pytest.raises(BadInput, match=r"another seed, 0 and not 1; delete .*x.npy.part"):
        ManyImages(tmp_path / "x.npy", 7).begin(ASKED | {"seed": 1})


def test_a_full_disk_leaves_the_chunk_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = ManyImages(tmp_path / "x.npy", 7)
    many.begin(ASKED)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(many_images, "flush_to_disk", full)
    with pytest.raises(BadInput, match="free some space"):
        many.write(0, torch.zeros(3, 1, 28, 28))
    assert many.missing() == [0, 1, 2]


def test_the_command_draws_what_one_call_would_and_goes_on_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", "pretrained", "--sampler", "ancestral", "--n", "7", "--steps", "8", "--seed", "3", "--out"]
    draw, drawn = sampling.sample, []

    def stopped(*args: Any, **how: Any) -> torch.Tensor:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(how["begin"])
        return draw(*args, **how)

    with monkeypatch.context() as patch:
        patch.setattr(sampling, "sample", stopped)
        assert main([*words, str(tmp_path / "x.npy")]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "x.npy")]) == 0
    assert "2 of 3 chunks are there" in capsys.readouterr().err
    monkeypatch.setattr(sampling, "CHUNK", 100)
    assert main([*words, str(tmp_path / "y.npy")]) == 0
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "y.npy").read_bytes()
