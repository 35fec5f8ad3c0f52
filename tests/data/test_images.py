import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ebmnist.data.images import check_images, read_images
from ebmnist.errors import BadInput


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)


def grid_of(pixels: np.ndarray, rows: int, columns: int, border: int = 0) -> np.ndarray:
    grid = np.full((2 + 30 * rows, 2 + 30 * columns), border, dtype=np.uint8)
    for i, tile in enumerate(pixels):
        top, left = 2 + 30 * (i // columns), 2 + 30 * (i % columns)
        grid[top : top + 28, left : left + 28] = tile
    return grid


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def same(images: torch.Tensor, pixels: np.ndarray) -> bool:
    return torch.equal(check_images(images, "read"), torch.from_numpy(pixels).unsqueeze(1) / 255)


@pytest.mark.parametrize("shape", [(6, 28, 28), (6, 1, 28, 28)])
@pytest.mark.parametrize("dtype", ["uint8", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(shape, dtype, order, pixels, tmp_path):
    array = (pixels if dtype == "uint8" else np.float32(pixels) / np.float32(255)).astype(dtype).reshape(shape)
    np.save(tmp_path / "x.npy", np.array(array, order=order))
    assert same(read_images(tmp_path / "x.npy"), pixels)


def test_a_single_image(pixels, tmp_path):
    np.save(tmp_path / "x.npy", pixels[0])
    Image.fromarray(pixels[0]).save(tmp_path / "x.png")
    for file in ("x.npy", "x.png"):
        assert same(read_images(str(tmp_path / file)), pixels[:1])


@pytest.mark.parametrize("border", [0, 128, 255])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (6, 1), (1, 6)])
def test_a_grid_is_cut_into_its_tiles(rows, columns, mode, border, pixels, tmp_path):
    Image.fromarray(grid_of(pixels, rows, columns, border)).convert(mode).save(tmp_path / "grid.png")
    assert same(read_images(tmp_path / "grid.png"), pixels)


def test_cells_left_over_in_the_last_row_are_no_images(pixels, tmp_path):
    Image.fromarray(grid_of(pixels[:4], 2, 3, border=72)).save(tmp_path / "grid.png")
    assert same(read_images(tmp_path / "grid.png"), pixels[:4])
    Image.fromarray(grid_of(np.zeros_like(pixels), 2, 3)).save(tmp_path / "black.png")
    assert len(read_images(tmp_path / "black.png")) == 4  # at least one image in each row


def test_colours_become_grey(tmp_path):
    Image.new("RGB", (28, 28), (255, 0, 0)).save(tmp_path / "red.png")
    assert read_images(tmp_path / "red.png").unique().item() == pytest.approx(0.299, abs=1 / 255)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_idx_of_any_compression(suffix, write_set, raw_set, tmp_path):
    name = "t10k-images-idx3-ubyte"
    assert same(read_images(write_set(tmp_path, suffix) / (name + suffix)), raw_set[name].numpy())
    with pytest.raises(BadInput, match=r"shape \(3,\); expected images of 28x28"):
        read_images(tmp_path / f"t10k-labels-idx1-ubyte{suffix}")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 32, 32)), r"shape \(2, 32, 32\)"),
        (np.zeros((2, 3, 28, 28)), r"shape \(2, 3, 28, 28\)"),
        (np.zeros((1, 1, 1, 28, 28)), r"shape \(1, 1, 1, 28, 28\)"),
        (np.zeros(784), r"shape \(784,\)"),
        (np.zeros((0, 28, 28)), "no images"),
        (np.zeros((28, 28), dtype=np.int64), "dtype int64; expected float in"),
        (np.zeros((28, 28), dtype=bool), "dtype bool"),
        (np.zeros((28, 28), dtype=complex), "dtype complex128"),
        (np.zeros((28, 28), dtype=np.longdouble), "dtype"),
        (np.zeros((28, 28), dtype="U3"), "dtype <U3"),
        (np.zeros((28, 28), dtype=[("a", "f4")]), "dtype"),
        (np.full((28, 28), 255.0), "values from 255 to 255"),
        (np.full((28, 28), -0.1), "values from -0.1 to -0.1"),
        (np.full((28, 28), np.nan), "784 values are NaN or infinite"),
        (np.full((28, 28), 1e300), "784 values are NaN or infinite"),
        (np.full((28, 28), None), "not of plain numbers"),
    ],
)
def test_unfit_arrays_are_refused_in_one_line(array, said, tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(npy_bytes(array))
    with pytest.raises(BadInput, match=said) as error:
        read_images(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Image.new("L", (100, 28)), "100x28 pixels; expected 28x28, or a grid"),
        (lambda: Image.new("L", (2, 32)), "2x32 pixels"),
        (lambda: Image.linear_gradient("L").resize((62, 32)), "no grid of 28x28 tiles"),
        (lambda: Image.new("I;16", (28, 28)), "mode I;16"),
    ],
)
def test_unfit_pictures_are_refused(make, said, tmp_path):
    make().save(tmp_path / "x.png")
    with pytest.raises(BadInput, match=said):
        read_images(tmp_path / "x.png")


def test_other_files_are_refused(tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "x.bmp")
    (tmp_path / "empty.npy").touch()
    for file in ("x.bmp", "empty.npy"):
        with pytest.raises(BadInput, match=f"{file}: neither .npy, .png nor IDX"):
            read_images(tmp_path / file)
    for path in (tmp_path / "absent.npy", tmp_path):
        with pytest.raises(BadInput, match="cannot be read"):
            read_images(path)


def good_files() -> list[bytes]:
    tile = (np.arange(784).reshape(28, 28) % 256).astype(np.uint8)
    picture = io.BytesIO()
    Image.fromarray(tile).save(picture, "PNG")
    idx = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28]) + tile.tobytes()
    return [npy_bytes(tile), npy_bytes(tile / 255), picture.getvalue(), idx]


@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning")  # a header that came to look like Python 2's
@given(
    data=st.sampled_from(good_files()),
    cut=st.integers(0, 2000),
    at=st.integers(0, 160),
    put=st.binary(max_size=12),
)
@settings(deadline=None, max_examples=500)
def test_damaged_files_are_images_or_bad_input(data, cut, at, put, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes((data[:at] + put + data[at + len(put) :])[:cut])
    try:
        images = read_images(path)
    except BadInput:
        return
    check_images(images, "read")


def test_check_images_returns_what_it_was_given():
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert check_images(x, "x") is x


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.zeros(3, 784), "mine: shape (3, 784); expected float32 images (N, 1, 28, 28) in [0, 1]"),
        (torch.zeros(28, 28), "mine: shape (28, 28)"),
        (torch.zeros(0, 1, 28, 28), "mine: no images"),
        (torch.zeros(1, 1, 28, 28, dtype=torch.float64), "mine: dtype float64"),
        (torch.zeros(1, 1, 28, 28, dtype=torch.uint8), "mine: dtype uint8"),
        (torch.full((1, 1, 28, 28), float("nan")), "mine: 784 values are NaN or infinite"),
        (torch.full((1, 1, 28, 28), float("inf")), "mine: 784 values are NaN or infinite"),
        (torch.full((1, 1, 28, 28), 1.5), "mine: values from 1.5 to 1.5"),
        (torch.full((1, 1, 28, 28), -1e-6), "mine: values from -1e-06 to -1e-06"),
    ],
)
def test_check_images_says_what_was_found(x, said):
    with pytest.raises(BadInput) as error:
        check_images(x, "mine")
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)
