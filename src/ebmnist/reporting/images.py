"""Images as arrays on disk."""

import io
from pathlib import Path

import numpy as np
from torch import Tensor

from ebmnist.reporting.atomic import write_file


def write_images(images: Tensor, path: Path) -> Path:
    """Write images (N, 1, 28, 28) as .npy, float32; `data.read_images` reads the same bits. Raises `BadInput`."""
    content = io.BytesIO()
    np.save(content, images.detach().float().cpu().numpy())
    write_file(path, content.getvalue())
    return path
