"""The IDX file format of MNIST, and `IDX`: any other folder that holds the four files of such a set."""

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split, as_images
from ebmnist.data.layout import FILES, file_of, find, place_of
from ebmnist.errors import BadInput
from ebmnist.reading import LARGEST, from_home, inflated_start, read_bytes, resembles

UNSIGNED_BYTE = 0x08  # the only element type in MNIST-like sets
ENOUGH = 200  # bytes, to know a header, or what is there in its place


@dataclass(frozen=True)
class IDX:
    """Any other MNIST-like set: a folder with the four IDX files, plain, .gz or .xz.

    The validation split is the last `n_validation` of the training file. EMNIST's files hold every image transposed:
    while their names start with `emnist` they are set upright here. Renamed ones are not, so turn them first.
    """

    root: Path = Path()
    """Folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and the t10k ones (or .gz, .xz); by default the
    working directory."""
    n_validation: int = 5000
    """How many of the training file's last images are held out as the validation split."""
    without: tuple[int, ...] = ()
    """Labels left out of train and validation; test stays whole."""

    def load(self) -> Dataset:
        """Return the three splits, named after the folder. Raises: BadInput."""
        root = from_home(self.root)
        return read_folder(root.resolve().name, root, self.n_validation, self.without)


def read_idx(source: str | Path | bytes, name: str | None = None) -> Tensor:
    """Return the uint8 tensor in an IDX file, or in its bytes; gzip and xz are told by their first bytes.

    Layout: 0x00 0x00, element type, rank, one big-endian uint32 per dimension, the elements. `name` is what
    errors call the bytes. Raises: BadInput. Source: LeCun, Cortes and Burges, "The MNIST database".

    >>> read_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    tensor([7, 2, 1], dtype=torch.uint8)
    """
    name = name or ("IDX data" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_bytes(Path(source))
    start, shape = _header(inflated_start(data, name, ENOUGH), name)
    # No more than its header says, so that a file which inflates without end costs nothing.
    return idx_tensor(inflated_start(data, name, min(start + math.prod(shape), LARGEST) + 1), name)


def idx_tensor(raw: bytearray, name: str) -> Tensor:
    """Return the uint8 tensor in the inflated bytes of an IDX file, which it shares. Raises: BadInput."""
    start, shape = _header(raw, name)
    expected = math.prod(shape)
    if (found := len(raw) - start) != expected:
        little = struct.unpack(f"<{raw[3]}I", raw[4:start])
        if math.prod(little) == found:
            raise BadInput(f"{name}: little-endian byte order, of shape {little}; IDX is big-endian: write it again")
        if start + expected > LARGEST:
            raise BadInput(f"{name}: its shape {shape} needs over {LARGEST:,} bytes, more than is read; fetch it again")
        fault = (
            f"truncated: {found} bytes of data" if found < expected else "overlong: more bytes of data than it names"
        )
        raise BadInput(f"{name}: {fault}, its shape {shape} needs {expected}; fetch it again")
    return torch.frombuffer(raw, dtype=torch.uint8, offset=start).reshape(shape)


def _header(raw: bytearray, name: str) -> tuple[int, tuple[int, ...]]:
    """Return where the elements begin, and the shape."""
    if len(raw) < 4 or raw[:2] != b"\0\0" or not 1 <= raw[3] <= 4:
        seen = f"starts with 0x{raw[:4].hex()}{resembles(raw)}"
        raise BadInput(f"{name}: not an IDX file: {seen}, expected 0x00000801 to 0x00000804")
    if raw[2] != UNSIGNED_BYTE:
        raise BadInput(
            f"{name}: IDX element type 0x{raw[2]:02x}; only unsigned bytes, 0x08, are read: write it as such"
        )
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise BadInput(f"{name}: truncated in its header: {len(raw)} bytes, expected at least {start}; fetch it again")
    shape = struct.unpack(f">{raw[3]}I", raw[4:start])
    if math.prod(shape) == 0:
        raise BadInput(f"{name}: holds nothing: its shape is {shape}; fetch it again")
    return start, shape


def read_file(folder: Traversable, name: str) -> Tensor:
    """Return the uint8 tensor of `name`, of whichever spelling and compression, in `folder`. Raises: BadInput."""
    return read_upright(find(folder, name))


def read_upright(file: Traversable) -> Tensor:
    """Return the uint8 tensor of a file; images of EMNIST, which are published transposed, upright. Raises: BadInput.

    EMNIST's files are known by their names, which start with `emnist`. Source: Cohen, Afshar, Tapson and van Schaik
    2017, arXiv:1702.05373.
    """
    tensor = read_idx(read_bytes(file), str(file))
    return tensor.mT.contiguous() if is_emnist(file.name) and tensor.ndim == 3 else tensor


def is_emnist(name: str) -> bool:
    """Say whether a file's name is one of EMNIST's."""
    return name.lower().startswith("emnist")


def read_test_images(folder: Path) -> Tensor:
    """Return the test images of a set in the format of MNIST, float32 (N, 1, 28, 28) in [0, 1].

    They are in the one file with `idx3` and `test` or `t10k` in its name, whatever else is in the folder. EMNIST's
    are set upright (`read_upright`).

    Raises:
        BadInput: no such file, or several, or one that is damaged or holds other than 28x28 images.
    """
    found = _test_images_in(folder) or _test_images_in(place_of(folder))
    names = sorted({re.sub(r"\.(gz|xz)$", "", name, flags=re.IGNORECASE) for name in found})
    if len(names) != 1:
        seen = f"{len(names)} IDX files of test images ({', '.join(names)})" if names else "no IDX file of test images"
        raise BadInput(f"{folder}: holds {seen}; give a folder with one, such as {FILES[2]}, plain, .gz or .xz")
    file = file_of(found[min(found)])  # the plain one before a compressed one
    return bytes_to_images(read_upright(file), str(file))


def _test_images_in(folder: Traversable) -> dict[str, Traversable]:
    try:
        return {f.name: f for f in folder.iterdir() if re.search("(test|t10k).*idx3", f.name, re.IGNORECASE)}
    except OSError as error:
        raise BadInput(f"{folder}: cannot be read ({error.strerror}); give a folder with an IDX file") from error


def read_folder(name: str, folder: Traversable, n_validation: int, without: tuple[int, ...] = ()) -> Dataset:
    """Return the data set of the four IDX files in `folder`, or in the one place below it. Raises: BadInput."""
    place = place_of(folder)
    return to_dataset(name, {file: read_file(place, file) for file in FILES}, n_validation, without, str(place))


def to_dataset(
    name: str, tensors: Mapping[str, Tensor], n_validation: int, without: tuple[int, ...], where: str
) -> Dataset:
    """Return the three splits of the tensors in `FILES`; validation: the training file's last images.

    The labels in `without` are then taken out of both, and stay in test.

    Raises: BadInput, naming `where`, for images that are not 28x28, another number of labels than images, or a
    `without` that names a label not there, or all of them.
    """
    whole = _labelled(tensors, *FILES[:2], where)
    n, pixels = len(whole.labels), whole.pixels
    if n > 1 and all(bool((part == pixels[0]).all()) for part in torch.split(pixels, 1000)):
        raise BadInput(f"{where}: {FILES[0]} holds one image {n} times, which teaches nothing; fetch it again")
    if n == 1:
        raise BadInput(f"{where}: {FILES[0]} holds one image; training and validation need at least one each")
    if not 1 <= n_validation < n:
        raise BadInput(f"n_validation = {n_validation}: expected 1 to {n - 1}, {where} holds {n}")
    train, validation = whole.at(slice(n - n_validation)), whole.at(slice(n - n_validation, n))
    if without:
        absent = sorted(set(without) - set(whole.labels.tolist()))
        if absent:
            raise BadInput(f"without = {list(without)}: {where} has no label {absent[0]} to leave out")
        train, validation = _leave_out(train, without, where), _leave_out(validation, without, where)
    return Dataset(name, train, validation, _labelled(tensors, *FILES[2:], where))


def _leave_out(split: Split, without: tuple[int, ...], where: str) -> Split:
    stays = ~torch.isin(split.labels, torch.tensor(without))
    if not stays.any():
        raise BadInput(f"without = {list(without)}: leaves a split of {where} empty; leave out fewer labels")
    return split.at(stays)


def _labelled(tensors: Mapping[str, Tensor], image_file: str, label_file: str, where: str) -> Split:
    pixels, labels = tensors[image_file], tensors[label_file]
    if labels.ndim != 1:
        raise BadInput(f"{where}: {label_file} has shape {tuple(labels.shape)}; expected one label per image, (N,)")
    if len(pixels) != len(labels):
        raise BadInput(f"{where}: {image_file} holds {len(pixels)} images, but {label_file} {len(labels)} labels")
    return Split(check_pixels(pixels, f"{where}: {image_file}"), labels.long())


def bytes_to_images(pixels: Tensor, name: str, side: int = 28) -> Tensor:
    """Return uint8 pixels (N, side, side) as float32 images (N, 1, side, side) in [0, 1]. Raises: BadInput."""
    return as_images(check_pixels(pixels, name, side))


def check_pixels(pixels: Tensor, name: str, side: int = 28) -> Tensor:
    """Return uint8 pixels (N, side, side) as (N, 1, side, side). Raises: BadInput for another shape, or for bits."""
    if pixels.ndim != 3 or pixels.shape[1:] != (side, side):
        expected = f"expected images of {side}x{side} pixels, (N, {side}, {side})"
        raise BadInput(f"{name}: shape {tuple(pixels.shape)}; {expected}")
    if len(pixels) and int(pixels.max()) == 1:
        raise BadInput(
            f"{name}: its bytes are 0 and 1, which is nearly black on 0…255; if they are bits, write 255 for 1"
        )
    return pixels.unsqueeze(1)
