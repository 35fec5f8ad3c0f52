"""A person's own images: read from .npy, .png or IDX files, and checked at the border."""

import io
import struct
import tokenize
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ebmnist.data.idx import GZIP, XZ, bytes_to_images, read_idx
from ebmnist.errors import BadInput

NPY, PNG = b"\x93NUMPY", b"\x89PNG\r\n\x1a\n"
BORDER, PITCH = 2, 30  # pixels around each tile of a grid, and from one tile to the next
EXPECTED = "expected float32 images (N, 1, 28, 28) in [0, 1]"

# What numpy's header parser and Pillow's chunk parser let through on a damaged file; an object array: ValueError.
DAMAGED = (ValueError, TypeError, SyntaxError, EOFError, LookupError, ArithmeticError, MemoryError)
DAMAGED_NPY = (*DAMAGED, tokenize.TokenError)
DAMAGED_PNG = (*DAMAGED, OSError, AssertionError, struct.error, zlib.error, Image.DecompressionBombError)


def read_images(path: str | Path) -> Tensor:
    """Return the images of a file, float32 (N, 1, 28, 28) in [0, 1].

    .npy: float in [0, 1] or uint8 in [0, 255], shaped (28, 28), (N, 28, 28) or (N, 1, 28, 28).
    .png: one 28x28 image, or a grid of 2 + 30·rows by 2 + 30·columns pixels, row by row, without the cells left over
    at its end, which have the border's colour; colours become grey.
    IDX: plain, gzip or xz. The kind is told by the file's first bytes, not its name. Raises: BadInput.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    if data.startswith(NPY):
        return check_images(_from_npy(data, str(path)), str(path))
    if data.startswith(PNG):
        return bytes_to_images(_from_png(data, str(path)), str(path))
    if data.startswith((b"\0\0", GZIP, XZ)):
        return bytes_to_images(read_idx(data, str(path)), str(path))
    raise BadInput(f"{path}: neither .npy, .png nor IDX: pass 28x28 images in one of these formats")


def check_images(x: Tensor, name: str) -> Tensor:
    """Return `x` itself if it is images as this project knows them: float32 (N, 1, 28, 28) in [0, 1], N >= 1.

    Raises: BadInput naming `name`, what was found and what is expected.

    >>> check_images(torch.zeros(2, 28, 28), "mine")
    Traceback (most recent call last):
    ebmnist.errors.BadInput: mine: shape (2, 28, 28); expected float32 images (N, 1, 28, 28) in [0, 1]
    """
    if x.ndim != 4 or x.shape[1:] != (1, 28, 28):
        raise BadInput(f"{name}: shape {tuple(x.shape)}; {EXPECTED}")
    if len(x) == 0:
        raise BadInput(f"{name}: no images; {EXPECTED}, N >= 1")
    if x.dtype != torch.float32:
        raise BadInput(f"{name}: dtype {str(x.dtype).removeprefix('torch.')}; {EXPECTED}")
    if (n_bad := int((~x.isfinite()).sum())) > 0:
        raise BadInput(f"{name}: {n_bad} values are NaN or infinite; {EXPECTED}")
    low, high = (value.item() for value in x.aminmax())
    if low < 0 or high > 1:
        raise BadInput(f"{name}: values from {low:g} to {high:g}; {EXPECTED}")
    return x


def _from_npy(data: bytes, name: str) -> Tensor:
    """Return float32 images, (N, 1, 28, 28), still to be checked for range."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except DAMAGED_NPY as error:
        raise BadInput(f"{name}: damaged .npy file, or not of plain numbers ({type(error).__name__})") from error
    if array.dtype != np.uint8 and (array.dtype.kind != "f" or array.dtype.itemsize > 8):
        raise BadInput(f"{name}: dtype {array.dtype}; expected float in [0, 1] or uint8 in [0, 255]")
    if array.shape[-2:] != (28, 28) or array.ndim > 4 or (array.ndim == 4 and array.shape[1] != 1):
        raise BadInput(f"{name}: shape {array.shape}; expected (28, 28), (N, 28, 28) or (N, 1, 28, 28)")
    native = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    pixels = torch.from_numpy(native).reshape(-1, 28, 28)
    return bytes_to_images(pixels, name) if pixels.dtype == torch.uint8 else pixels.float().unsqueeze(1)


def _from_png(data: bytes, name: str) -> Tensor:
    """Return uint8 pixels, (N, 28, 28)."""
    try:
        picture = Image.open(io.BytesIO(data), formats=["PNG"])
        grey = picture.convert("L")
    except DAMAGED_PNG as error:
        raise BadInput(f"{name}: damaged .png file ({type(error).__name__})") from error
    if picture.mode not in {"1", "L", "LA", "P", "RGB", "RGBA"}:
        raise BadInput(f"{name}: .png of mode {picture.mode}; expected 8 bits per channel, grey or colour")
    pixels = torch.from_numpy(np.array(grey))  # (H, W)
    if pixels.shape == (28, 28):
        return pixels[None]
    return _cut_grid(pixels, name)


def _cut_grid(pixels: Tensor, name: str) -> Tensor:
    """Return the tiles of a grid (2 + 30 rows, 2 + 30 columns), row by row, (N, 28, 28)."""
    height, width = pixels.shape
    rows, columns = (height - BORDER) // PITCH, (width - BORDER) // PITCH
    if rows < 1 or columns < 1 or (height, width) != (BORDER + PITCH * rows, BORDER + PITCH * columns):
        raise BadInput(
            f"{name}: {width}x{height} pixels; expected 28x28, or a grid of tiles 30 apart with a border of 2"
        )
    on_border = torch.zeros(height, width, dtype=torch.bool)
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
