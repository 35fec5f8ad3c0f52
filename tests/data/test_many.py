"""Many images on disk: whatever they are kept in, a few at a time are the images that were put there."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ebmnist.data import identity_of, open_images, read_images
from ebmnist.errors import BadInput
from ebmnist.reporting.tar import TAR, tar_of

N = 7


@pytest.fixture
def x() -> Tensor:
    """Seven images of whole grey levels."""
    return torch.randint(256, (N, 1, 28, 28), generator=torch.Generator().manual_seed(0)).float() / 255


def png(image: Tensor) -> bytes:
    data = io.BytesIO()
    Image.fromarray((image[0] * 255).byte().numpy()).save(data, "PNG")
    return data.getvalue()


def folder_of(x: Tensor, path: Path) -> Path:
    """Seven files; in the order of their names, files before folders, they are the images."""
    for name, image in zip(["B.png", "b.PNG", "é.png", "a/x.png", "a/c/1.png", "d/0.png", "d/1.png"], x, strict=True):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(png(image))
    for name in ("notes.txt", ".hidden.png", "d/._1.png"):
        (path / name).write_text("no picture")
    return path


def write(x: Tensor, kind: str, folder: Path) -> Path:
    path, pixels = folder / kind, (x[:, 0] * 255).round().byte().numpy()
    match kind:
        case "float.npy":
            np.save(path, x.numpy())
        case "bytes.npy":
            np.save(path, pixels)
        case "big-endian.npy":
            np.save(path, x.numpy().astype(">f8"))
        case "fortran.npy":
            np.save(path, np.asfortranarray(x.numpy()))
        case "stored.npz":
            np.savez(path, labels=np.arange(N), images=x.numpy())
        case "deflated.npz":
            np.savez_compressed(path, pixels)
        case "images.tar":
            path.write_bytes(tar_of(x, 0) + TAR.footer)
        case "dir":
            folder_of(x, path)
    return path


KINDS = ["float.npy", "bytes.npy", "big-endian.npy", "fortran.npy", "stored.npz", "deflated.npz", "images.tar", "dir"]


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_read_in_any_pieces(kind: str, x: Tensor, tmp_path: Path) -> None:
    with open_images(write(x, kind, tmp_path)) as images:
        assert images.n == N
        for rows in (range(2, 5), range(5, 7), range(1), range(N)):  # also backwards
            assert torch.equal(images.read(rows), x[rows.start : rows.stop])


def test_a_file_s_name_goes_with_its_image(x: Tensor, tmp_path: Path) -> None:
    with open_images(folder_of(x, tmp_path / "f")) as images:
        assert images.names(range(2, 6)) == ["é.png", "a/x.png", "a/c/1.png", "d/0.png"]
    with open_images(write(x, "images.tar", tmp_path)) as images:
        assert images.names(range(5, 7)) == ["000000005.png", "000000006.png"]
    with open_images(write(x, "float.npy", tmp_path)) as images:
        assert images.names(range(2)) is None


def test_a_tar_of_any_members_and_long_names(x: Tensor, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, data in (("0.cls", b"7"), ("s/" + "y" * 150 + ".png", png(x[3])), ("s/._0.png", b"no picture")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with open_images(tmp_path / "x.tar") as images:
        assert images.n == 1
        assert torch.equal(images.read(range(1)), x[3:4])


def test_other_images_have_another_identity(x: Tensor, tmp_path: Path) -> None:
    def identity(path: Path) -> str:
        with open_images(path) as images:
            return identity_of(path, images)

    folder, file = folder_of(x, tmp_path / "f"), write(x, "float.npy", tmp_path)
    before = identity(folder), identity(file)
    assert before == (identity(folder), identity(file))
    (folder / "a/x.png").rename(folder / "d/x.png")
    os.utime(file, (0, 0))
    assert identity(folder) != before[0]
    assert identity(file) != before[1]


def broken(kind: str, x: Tensor, folder: Path) -> Path:
    """Something that is not read."""
    path = folder / kind
    match kind:
        case "empty":
            path.mkdir()
        case "damaged":
            (folder_of(x, path) / "d/0.png").write_bytes(png(x[0])[:60])
        case "grid":
            grid = np.zeros((62, 32), dtype=np.uint8)
            grid[2:30, 2:30] = grid[32:60, 2:30] = 255
            folder_of(x, path)
            Image.fromarray(grid).save(path / "a/x.png")
        case "text":
            (folder_of(x, path) / "B.png").write_text("<html>")
        case "short.npy":
            path.write_bytes(write(x, "float.npy", folder).read_bytes()[:-4])
        case "nan.npy":
            np.save(path, x.where(x > 0.5, torch.nan).numpy())
        case "none.npy":
            np.save(path, x[:0].numpy())
        case "two.npz":
            np.savez(path, first=x.numpy(), second=x.numpy())
        case "labels.npz":
            np.savez(path, labels=np.arange(N))
        case "cut.npz":
            path.write_bytes(write(x, "stored.npz", folder).read_bytes()[:-50])
        case "altered.npz":
            data = bytearray(write(x, "deflated.npz", folder).read_bytes())
            data[1000] ^= 1
            path.write_bytes(data)
        case "cut.tar":
            path.write_bytes(write(x, "images.tar", folder).read_bytes()[:-2000])
        case "altered.tar":
            data = bytearray(write(x, "images.tar", folder).read_bytes())
            data[data.index(b"000000003.png")] = ord("x")
            path.write_bytes(data)
        case "images.tar.gz":
            path.touch()
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "holds no .png file"),
        ("damaged", r"d/0.png: damaged .png file"),
        ("grid", r"a/x.png: a grid of 2 images; .*save each alone"),
        ("text", r"B.png: not a .png file in spite of its name \(it is a web page"),
        ("short.npy", "truncated"),
        ("nan.npy", "values are NaN or infinite"),
        ("none.npy", "no images"),
        ("two.npz", r"several arrays of images \(first, second\)"),
        ("labels.npz", "labels: dtype int64"),
        ("cut.npz", "cannot be read"),
        ("altered.npz", "cannot be read"),
        ("cut.tar", "damaged .tar file"),
        ("altered.tar", "damaged .tar file"),
        ("images.tar.gz", "compressed .tar"),
        ("nothing", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(kind: str, says: str, x: Tensor, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=says) as refused, open_images(broken(kind, x, tmp_path)) as images:
        images.read(range(images.n))
    assert kind in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_read_whole_is_what_read_images_reads(x: Tensor, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(x[0]))
    with open_images(tmp_path / "x.png") as images:
        assert torch.equal(images.read(range(1)), read_images(tmp_path / "x.png"))
