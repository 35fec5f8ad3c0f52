"""A person's own images: read from .npy, .png or IDX files, and checked at the border."""

import logging
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ebmnist.data.idx import bytes_to_images, is_emnist, read_idx
from ebmnist.data.npy import NPY, read_npy
from ebmnist.data.png import PNG, read_png
from ebmnist.errors import BadInput
from ebmnist.reading import GZIP, XZ, from_home, read_bytes, resembles

SIDE = 28
EXPECTED = "expected float32 images (N, 1, 28, 28) in [0, 1]"
ZIP = b"PK\x03\x04"
ROUNDING = 1e-5  # beyond [0, 1], as arithmetic leaves behind
FAR = 7  # standard deviations of noise, beyond which no pixel of any set is found
OUTSIDE = 0.25  # share of pixels over one standard deviation outside [0, 1] on a side; Gaussian noise leaves 0.16


def read_images(path: str | Path, sigma: float = 0.0, side: int = SIDE) -> Tensor:
    """Return the images of a file, float32 (N, 1, 28, 28) in [0, 1], or with Gaussian noise of `sigma` on that.

    A .npy is float in [0, 1] or uint8 in [0, 255], shaped (28, 28), (N, 28, 28) or (N, 1, 28, 28).
    A .png is one 28x28 image, or a grid of 2 + 30·rows by 2 + 30·columns pixels, row by row. Empty cells at a grid's
    end have the border's colour and are left out. It has 1 to 16 bits, and colours become grey (`read_png`).
    An IDX file is plain, gzip or xz. Files whose names start with `emnist` are turned upright.
    The kind is told by the file's first bytes, not its name. Images of another `side` than 28 are in a .npy.
    Raises: BadInput.
    """
    data, name = read_bytes(from_home(path)), str(path)
    if data.startswith(NPY):
        images = _from_npy(data, name, side)
    elif side != SIDE:
        raise BadInput(f"{name}: images of {side} × {side} pixels are read from .npy alone; save (N, {side}, {side})")
    elif data.startswith(PNG):
        images = read_png(data, name).unsqueeze(1)
    elif data.startswith((b"\0\0", GZIP, XZ)):
        images = bytes_to_images(read_idx(data, name), name)
        images = images.mT.contiguous() if is_emnist(Path(path).name) else images
    else:
        raise BadInput(f"{name}: {_unknown(data, name)}")
    images = checked_pixels(images, name, sigma, side)
    note_brightness(images, name)
    return images


def checked_pixels(images: Tensor, name: str, sigma: float = 0.0, side: int = SIDE) -> Tensor:
    """Return images from a file, (N, 1, side, side), less what arithmetic leaves beyond [0, 1]. Raises: BadInput."""
    if not sigma:
        images = _rounded(images)
    check_images(images, name, sigma, side)
    if 0 < (high := float(images.max())) <= 1.001 / 255:
        raise BadInput(f"{name}: nearly black, its brightest pixel is {high:.2g}; if divided by 255 twice, do so once")
    return images


def note_brightness(images: Tensor, name: str) -> None:
    """Log that images are more bright than dark, where they are."""
    if float(images.mean()) > 0.5:
        logging.getLogger(__name__).info(
            "%s: more bright than dark; if it is dark ink on bright paper, pass 1 − x", name
        )


def check_images(x: Tensor, name: str, sigma: float = 0.0, side: int = SIDE) -> Tensor:
    """Return `x` itself if it is images as this project knows them: float32 (N, 1, 28, 28) in [0, 1], N >= 1.

    Images with Gaussian noise of `sigma` may leave [0, 1] as far as such noise leads.
    Raises: BadInput naming `name`, what was found and what is expected.

    >>> check_images(torch.zeros(2, 28, 28), "mine")
    Traceback (most recent call last):
    ebmnist.errors.BadInput: mine: shape (2, 28, 28); expected float32 images (N, 1, 28, 28) in [0, 1]
    """
    if x.ndim != 4 or x.shape[1:] != (1, side, side):
        raise BadInput(f"{name}: shape {tuple(x.shape)}; {EXPECTED.replace('28', str(side))}")
    if len(x) == 0:
        raise BadInput(f"{name}: no images; {EXPECTED}, N >= 1")
    if x.dtype != torch.float32:
        raise BadInput(f"{name}: dtype {str(x.dtype).removeprefix('torch.')}; {EXPECTED}")
    if (n_bad := int((~x.isfinite()).sum())) > 0:
        raise BadInput(f"{name}: {n_bad} values are NaN or infinite; {EXPECTED}")
    low, high = (value.item() for value in x.aminmax())
    if low < -FAR * sigma or high > 1 + FAR * sigma:
        noisy = f" with noise of σ = {sigma:g}" if sigma else ""
        raise BadInput(f"{name}: values from {low:g} to {high:g}; {EXPECTED}{noisy}{_scale(low, high)}")
    if sigma and max(float((x < -sigma).float().mean()), float((x > 1 + sigma).float().mean())) > OUTSIDE:
        raise BadInput(
            f"{name}: values from {low:g} to {high:g}, too many of them outside [0, 1] for noise of σ = {sigma:g}"
            f"{_scale(low, high)}"
        )
    return x


def _scale(low: float, high: float) -> str:
    """What puts images of this range on [0, 1]."""
    if low > -0.1 and high < 1.1:
        return "; if they go beyond it a little, as resized images do, clip them: x.clip(0, 1)"
    if low >= 0 and 1 < high <= 255:
        return "; if they are on 0…255, divide by 255"
    if -1 <= low < 0 and high <= 1:
        return "; if they are on [−1, 1], rescale to (x + 1)/2"
    if -10 < low < 0 and high < 10:
        return "; if they are normalised, undo it: x·std + mean, for MNIST 0.3081·x + 0.1307"
    return "; rescale them"


def _unknown(data: bytes, name: str) -> str:
    """Why a file of none of the formats is not read, and the mend."""
    if data.startswith(ZIP):
        try:
            entries = zipfile.ZipFile(BytesIO(data)).namelist()
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError):
            return "a damaged .zip or .npz archive; write it again"
        arrays = [entry.removesuffix(".npy") for entry in entries if entry.endswith(".npy")]
        if not arrays:
            return "an archive without .npy files; unpack a .zip first; of torch.save's, save tensor.numpy() as .npy"
        first = repr(arrays[0][:40])
        return f"a .zip or .npz archive; save one array: numpy.save('x.npy', numpy.load({Path(name).name!r})[{first}])"
    if (seen := resembles(data)) or b"\0" in data[:1000]:
        return f"neither .npy, .png nor IDX{seen}: pass 28x28 images in one of these formats"
    return (
        "text, and neither .npy, .png nor IDX: of a .csv with a row for each image, save numpy.loadtxt(…) reshaped to "
        "(N, 28, 28) as .npy"
    )


def _from_npy(data: bytes, name: str, side: int) -> Tensor:
    """Return float32 images, (N, 1, side, side), still to be checked for range."""
    array = read_npy(data, name)
    check_array(array.dtype, array.shape, name, side)
    return pixels_of(array, name, side)


def check_array(dtype: np.dtype[Any], shape: tuple[int, ...], name: str, side: int = SIDE) -> None:
    """Raise `BadInput` unless an array of this type and shape can be images."""
    if dtype != np.uint8 and (dtype.kind != "f" or dtype.itemsize > 8):
        mend = "x.astype('float32') if it is in [0, 1], x.astype('uint8') if in 0…255"
        raise BadInput(f"{name}: dtype {dtype}; expected float in [0, 1] or uint8 in [0, 255]: save {mend}")
    if shape[-2:] != (side, side) or len(shape) > 4 or (len(shape) == 4 and shape[1] != 1):
        mend = ""
        if side == SIDE and shape[-1:] == (784,) and len(shape) <= 2:
            mend = "; save x.reshape(-1, 1, 28, 28)"
        elif shape[1:] == (28, 28, 1):
            mend = "; save x.transpose(0, 3, 1, 2), which is (N, 1, 28, 28)"
        expected = "expected (28, 28), (N, 28, 28) or (N, 1, 28, 28)".replace("28", str(side))
        raise BadInput(f"{name}: shape {shape}; {expected}{mend}")


def pixels_of(array: npt.NDArray[np.generic], name: str, side: int = SIDE) -> Tensor:
    """Return an array that `check_array` accepts as float32 images, (N, 1, side, side). Raises: BadInput."""
    pixels = torch.from_numpy(array).reshape(-1, side, side)
    if pixels.dtype == torch.uint8:
        return bytes_to_images(pixels, name, side)
    return pixels.float().unsqueeze(1)


def _rounded(images: Tensor) -> Tensor:
    """Return images in [0, 1] if they are so but for rounding, else as they are."""
    inside = images.clamp(0, 1)
    return inside if bool(((images - inside).abs() <= ROUNDING).all()) else images
