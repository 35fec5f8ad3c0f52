import io
import re

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
        (np.zeros((28, 28), dtype="U3"), "not an array of plain numbers"),
        (np.zeros((28, 28), dtype=[("a", "f4")]), "not an array of plain numbers"),
        (np.full((28, 28), 255.0), "values from 255 to 255.*; if they are on 0…255, divide by 255"),
        (np.full((28, 28), -0.1), r"values from -0.1 to -0.1.*; if they are on \[−1, 1\], rescale to \(x \+ 1\)/2"),
        (np.full((28, 28), 2.8), "values from 2.8"),
        (np.linspace(-0.42, 2.8, 784).reshape(28, 28), "normalised, undo it"),
        (np.linspace(-200, 900, 784).reshape(28, 28), "rescale them"),
        (np.eye(28, dtype=np.uint8), "its bytes are 0 and 1"),
        (np.eye(28) / 255, "nearly black, its brightest pixel is 0.0039; if divided by 255 twice"),
        (np.zeros((4, 784)), r"save x.reshape\(-1, 1, 28, 28\)"),
        (np.zeros((4, 28, 28, 1)), r"save x.transpose\(0, 3, 1, 2\), which is \(N, 1, 28, 28\)"),
        (np.full((28, 28), np.nan), "784 values are NaN or infinite"),
        (np.full((28, 28), 1e300), "784 values are NaN or infinite"),
        (np.full((28, 28), None), "not an array of plain numbers"),
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
        (lambda: Image.new("L", (4112, 4112)), "at most 4096 a side"),
        (lambda: Image.new("RGBA", (28, 28)), "wholly transparent"),
        (lambda: cut_corner(), "transparent in a small part"),
        (lambda: Image.fromarray(np.eye(28, dtype=np.uint16) * 255), "nearly black, its brightest pixel is 0.0039"),
    ],
)
def test_unfit_pictures_are_refused(make, said, tmp_path):
    make().save(tmp_path / "x.png")
    with pytest.raises(BadInput, match=said):
        read_images(tmp_path / "x.png")


def cut_corner() -> Image.Image:
    """A bright stroke on black, whose first two rows are transparent."""
    grey = np.zeros((28, 28), dtype=np.uint8)
    grey[5:23, 14] = 255
    alpha = np.full((28, 28), 255, dtype=np.uint8)
    alpha[:2] = 0
    return Image.fromarray(np.dstack([grey, grey, grey, alpha]), "RGBA")


def shades(pixels: np.ndarray, **channels: np.ndarray | int) -> np.ndarray:
    """Return pixels and full planes stacked as channels."""
    return np.dstack([np.broadcast_to(np.uint8(c), pixels.shape) for c in channels.values()])


def test_transparency_is_laid_over_what_the_ink_stands_out_from(pixels, tmp_path):
    ink = pixels[0]
    made = {
        "black ink": (shades(ink, r=0, g=0, b=0, a=ink), "RGBA", 255 - ink),
        "white ink": (shades(ink, r=255, g=255, b=255, a=ink), "RGBA", ink),
        "grey and alpha": (shades(ink, l=255, a=ink), "LA", ink),
        "opaque": (shades(ink, r=ink, g=ink, b=ink, a=255), "RGBA", ink),
    }
    for name, (array, mode, expected) in made.items():
        Image.fromarray(array, mode).save(tmp_path / "x.png")
        seen = (read_images(tmp_path / "x.png")[0, 0] * 255).numpy()
        assert np.abs(seen - expected).max() <= 1, name


@pytest.mark.parametrize("colour", [0, 255])
def test_a_transparent_colour_of_a_palette_is_no_ink(colour, pixels, tmp_path):
    drawn = pixels[0] > 127
    picture = Image.fromarray(drawn.astype(np.uint8), "P")
    picture.putpalette([colour] * 6 + [0] * 762)
    picture.save(tmp_path / "x.png", transparency=0)
    seen = read_images(tmp_path / "x.png")[0, 0].numpy()
    assert np.array_equal(seen, drawn if colour else ~drawn)


def test_a_picture_is_turned_as_its_exif_data_say(pixels, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # its top is at the right
    Image.fromarray(pixels[0]).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal((read_images(tmp_path / "x.png")[0, 0] * 255).round().numpy(), np.rot90(pixels[0], -1))


def test_an_animation_is_refused(pixels, tmp_path):
    frames = [Image.fromarray(frame) for frame in pixels[:3]]
    frames[0].save(tmp_path / "x.png", save_all=True, append_images=frames[1:])
    with pytest.raises(BadInput, match=r"animated \.png of 3 frames"):
        read_images(tmp_path / "x.png")


def test_rounding_beyond_the_range_is_taken_back(tmp_path):
    x = np.linspace(-1e-7, 1 + 1e-6, 784, dtype=np.float32).reshape(28, 28)
    np.save(tmp_path / "x.npy", x)
    assert np.array_equal(read_images(tmp_path / "x.npy")[0, 0].numpy(), x.clip(0, 1))
    np.save(tmp_path / "x.npy", x - np.float32(0.01))
    with pytest.raises(BadInput, match=r"clip them: x.clip\(0, 1\)"):
        read_images(tmp_path / "x.npy")


def test_other_depths_are_on_the_same_scale(pixels, tmp_path):
    Image.fromarray(pixels[0].astype(np.uint16) * 257).save(tmp_path / "16.png")
    assert torch.allclose(read_images(tmp_path / "16.png")[0, 0], torch.from_numpy(pixels[0]) / 255)
    Image.fromarray(pixels[0] > 127).save(tmp_path / "1.png")
    assert np.array_equal(read_images(tmp_path / "1.png")[0, 0].numpy(), pixels[0] > 127)


def test_noise_may_lead_outside_the_range_and_nothing_else_may(tmp_path):
    clean = (np.random.default_rng(0).random((40, 28, 28)) > 0.8).astype(np.float32)
    noise = np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32)
    path = tmp_path / "x.npy"
    for sigma in (1e-9, 0.1, 0.3, 1.0):
        np.save(path, clean + sigma * noise)
        assert np.array_equal(read_images(path, sigma)[:, 0].numpy(), clean + np.float32(sigma) * noise)
    for other, said in ((2 * clean - 1, "[−1, 1]"), (255 * clean, "divide by 255"), ((clean - 0.13) / 0.31, "undo it")):
        np.save(path, other)
        with pytest.raises(BadInput, match=re.escape(said)):
            read_images(path, 0.2)
    np.save(path, clean + noise)
    with pytest.raises(BadInput, match=r"σ = 0\.1"):
        read_images(path, 0.1)


def test_archives_text_and_web_pages_are_named(tmp_path):
    np.savez(tmp_path / "x.npz", train=np.zeros(3), test=np.zeros(3))
    np.savetxt(tmp_path / "x.csv", np.zeros((2, 784)), delimiter=",")
    (tmp_path / "page.png").write_text("<!DOCTYPE html><p>not found")
    torch.save(torch.zeros(1, 1, 28, 28), tmp_path / "x.pt")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:50])
    said = {
        "x.npz": r"save one array: numpy.save\('x.npy', numpy.load\('x.npz'\)\['train'\]\)",
        "x.pt": "an archive without .npy files",
        "x.csv": r"text, and neither .npy, .png nor IDX: of a .csv",
        "page.png": "it is a web page",
        "cut.npz": "damaged .zip or .npz archive",
    }
    for name, words in said.items():
        with pytest.raises(BadInput, match=words) as error:
            read_images(tmp_path / name)
        assert "\n" not in str(error.value)


def test_ink_on_paper_is_read_and_said(caplog, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((28, 28), dtype=np.float32))
    with caplog.at_level("INFO", "ebmnist"):
        assert read_images(tmp_path / "x.npy").min() == 1
    assert "pass 1 − x" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.replace(b"(6, 28, 28)", b"(9, 28, 28)"), "truncated: 4704 bytes of data"),
        (lambda data: data.replace(b"(6, 28, 28)", b"(5, 28, 28)"), "overlong: 4704 bytes"),
        (lambda data: data.replace(b"(6, 28, 28),", b"(10**9, 28),"), "damaged .npy header"),
        (lambda data: data.replace(b"(6, 28, 28), ", b"(99999999999,"), "damaged .npy header|truncated"),
        (lambda data: data.replace(b"False", b"open "), "damaged .npy header"),
        (lambda data: data[:8] + b"\xff\xff" + data[10:], "its header should have 65535 characters"),
        (lambda data: data[:6] + b"\x09" + data[7:], "of an unknown version"),
        (lambda data: data[:9], "damaged .npy file"),
    ],
)
def test_a_header_of_npy_is_read_and_never_evaluated(change, said, pixels, tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(change(npy_bytes(pixels)))
    with pytest.raises(BadInput, match=said):
        read_images(path)


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
