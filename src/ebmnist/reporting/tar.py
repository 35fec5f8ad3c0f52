"""Images as a .tar of pictures, as WebDataset reads them: 000000000.png, 000000001.png, …, 8 bits of grey."""

import io
import tarfile

from PIL import Image
from torch import Tensor

from ebmnist.reporting.chunks import Format

BLOCK = 512  # bytes, to which everything in a tar is padded
TAR = Format(footer=bytes(2 * BLOCK))


def tar_of(images: Tensor, first: int) -> bytes:
    """Return the members of images, (N, 1, 28, 28) in [0, 1], the first of which has number `first`; without an end."""
    pixels = images.detach().float().cpu().mul(255).round().byte().squeeze(1).numpy()
    return b"".join(
        _member(f"{first + i:09d}.png", _png(image)) for i, image in enumerate(map(Image.fromarray, pixels))
    )


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def _member(name: str, data: bytes) -> bytes:
    about = tarfile.TarInfo(name)  # of no time and no owner: the same images are the same bytes
    about.size = len(data)
    return about.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % BLOCK)
