import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ebmnist.data.layout import FILES

COMPRESS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def idx_bytes(tensor: Tensor) -> bytes:
    header = struct.pack(f">HBB{tensor.ndim}I", 0, 8, tensor.ndim, *tensor.shape)
    return header + tensor.numpy().tobytes()


@pytest.fixture
def to_idx() -> Callable[[Tensor], bytes]:
    return idx_bytes


@pytest.fixture
def raw_set() -> dict[str, Tensor]:
    """The four uint8 tensors of a small set: 7 training images and 3 for the test."""
    rng = torch.Generator().manual_seed(0)
    images, labels = (
        [torch.randint(256, (n, 28, 28), generator=rng, dtype=torch.uint8) for n in (7, 3)],
        (7, 3),
    )
    images[0][0, 0, :2] = torch.tensor([0, 255], dtype=torch.uint8)
    digits = [torch.arange(n, dtype=torch.uint8) for n in labels]
    return dict(zip(FILES, [images[0], digits[0], images[1], digits[1]], strict=True))


@pytest.fixture
def write_set(raw_set: dict[str, Tensor]) -> Callable[..., Path]:
    def write(folder: Path, suffix: str = "") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, tensor in raw_set.items():
            (folder / (name + suffix)).write_bytes(COMPRESS[suffix](idx_bytes(tensor)))
        return folder

    return write
