"""Pictures in PNG as grey images: depths, palettes and transparency brought to one scale, grids cut into tiles."""

import io
import struct
import warnings
import zlib

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.reading import resembles

PNG = b"\x89PNG\r\n\x1a\n"
BORDER, PITCH = 2, 30  # pixels around each tile of a grid, and from one tile to the next
LARGEST = 4_096  # pixels a side: 18,496 tiles
MOST_BYTES = 2**22  # of a file of one image
LEAST_GROUND = 0.25  # share of a picture that is transparent, for it to be the ground of what is drawn

# What Pillow's chunk parser lets through on a damaged file.
DAMAGED = (
    *(ValueError, TypeError, SyntaxError, EOFError, LookupError, ArithmeticError, MemoryError, OSError),
    *(AssertionError, struct.error, zlib.error, Image.DecompressionBombError),
)


def read_png(data: bytes, name: str) -> Tensor:
    """Return the picture's 28x28 images, (N, 28, 28) float32 in [0, 1]: one, or the tiles of a grid, row by row.

    Colours become grey (ITU-R 601-2). What is transparent is laid over white where the ink is dark, else over black.
    A picture is turned as its EXIF data say. Raises: BadInput for a damaged, animated or too large picture, for one of
    another size, and where all or little of it is transparent.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of chunks that are not used here
            picture = Image.open(io.BytesIO(data), formats=["PNG"])
            _check_size(picture.size, name)
            if getattr(picture, "n_frames", 1) > 1:
                raise BadInput(f"{name}: animated .png of {picture.n_frames} frames; save one of them, or a grid")  # type: ignore[attr-defined]
            picture.load()
            grey = _grey(ImageOps.exif_transpose(picture), name)
    except DAMAGED as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{name}: damaged .png file ({type(error).__name__}); write it again") from error
    return grey[None] if grey.shape == (28, 28) else _cut_grid(grey, name)


def is_picture(name: str) -> bool:
    """Whether a file's name ends in .png, and it is not hidden."""
    return name.lower().endswith(".png") and not name.rpartition("/")[2].startswith(".")


def read_single_png(data: bytes, name: str) -> Tensor:
    """Return the one image of a picture, (1, 28, 28). Raises: BadInput, also for no picture, or a grid of several."""
    if not data.startswith(PNG):
        raise BadInput(f"{name}: not a .png file in spite of its name{resembles(data)}; write it again")
    images = read_png(data, name)
    if len(images) > 1:
        raise BadInput(f"{name}: a grid of {len(images)} images; one of many files holds one image, so save each alone")
    return images


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    fits = [side <= LARGEST and side > BORDER and (side - BORDER) % PITCH == 0 for side in size]
    if size != (28, 28) and not all(fits):
        many = f", at most {LARGEST} a side" if max(size) > LARGEST else ""
        raise BadInput(
            f"{name}: {width}x{height} pixels; expected 28x28, or a grid of tiles 30 apart with a border of 2{many}"
        )


def _grey(picture: Image.Image, name: str) -> Tensor:
    """Return (H, W), float32 in [0, 1]."""
    if picture.mode.startswith("I"):  # 16 bits of grey
        if picture.has_transparency_data:
            raise BadInput(f"{name}: 16-bit .png with transparency; save it with 8 bits per channel")
        return torch.from_numpy(np.array(picture, dtype=np.int32)).float() / 65_535
    if picture.has_transparency_data:
        picture = _opaque(picture.convert("RGBA"), name)
    return torch.from_numpy(np.array(picture.convert("L"))).float() / 255


def _opaque(picture: Image.Image, name: str) -> Image.Image:
    """Return an RGBA picture laid over the ground that its ink stands out from."""
    alpha = np.asarray(picture.getchannel("A"), dtype=np.float64)
    if not alpha.any():
        raise BadInput(f"{name}: wholly transparent, so there is no image; save it without transparency")
    if 0 < 1 - alpha.mean() / 255 < LEAST_GROUND:
        raise BadInput(f"{name}: transparent in a small part, so its ground is not known; save it without transparency")
    ink = np.average(np.asarray(picture.convert("RGB").convert("L")), weights=alpha)
    ground = (255, 255, 255, 255) if ink < 127.5 else (0, 0, 0, 255)
    return Image.alpha_composite(Image.new("RGBA", picture.size, ground), picture).convert("RGB")


def _cut_grid(pixels: Tensor, name: str) -> Tensor:
    """Return the tiles of a grid (2 + 30 rows, 2 + 30 columns), row by row, (N, 28, 28)."""
    rows, columns = ((side - BORDER) // PITCH for side in pixels.shape)
    on_border = torch.zeros(pixels.shape, dtype=torch.bool)
    for offset in range(BORDER):
        on_border[offset::PITCH], on_border[:, offset::PITCH] = True, True
    # Without this, any picture of a fitting size would be cut up as if it were a grid.
    border = pixels[on_border]
    if (border != border[0]).any():
        raise BadInput(f"{name}: no grid of 28x28 tiles: the 2-pixel lines between them are not of one colour")
    inner = pixels[BORDER:, BORDER:].unfold(0, 28, PITCH).unfold(1, 28, PITCH)  # (rows, columns, 28, 28)
    tiles, n_tiles = inner.reshape(-1, 28, 28), rows * columns
    while n_tiles > (rows - 1) * columns + 1 and (tiles[n_tiles - 1] == border[0]).all():
        n_tiles -= 1
    return tiles[:n_tiles]
