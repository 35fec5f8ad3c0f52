"""The command that fills missing pixels of images."""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from ebmnist.commands.ends import may_write, write_shown
from ebmnist.console import say
from ebmnist.data import read_images
from ebmnist.errors import BadInput
from ebmnist.inference.posterior import BATCH_SIZE
from ebmnist.random import Rng
from ebmnist.restoring import inpainted, inpainting_steps
from ebmnist.terminal import steps_bar
from ebmnist.trained import load

SIDE = 28
HIDDEN = 0.5  # how a missing pixel is shown
HALVES = {
    "left": (slice(None), slice(None, SIDE // 2)),
    "right": (slice(None), slice(SIDE // 2, None)),
    "top": (slice(None, SIDE // 2), slice(None)),
    "bottom": (slice(SIDE // 2, None), slice(None)),
}


def inpaint_images(args: argparse.Namespace, _: list[str]) -> int:
    """Fill the missing pixels of each image several times over."""
    may_write(args.out, (".png", ".npy"), force=args.force, source=args.input)
    model = load(args.model, args.device)
    images = read_images(args.input)
    known = _known(args, len(images))
    y, mask, rng = images.to(model.device), known.to(model.device), Rng(args.seed, device=model.device)
    n_steps = args.steps or inpainting_steps(model)
    with steps_bar("sampling", n_steps * -(-args.n * len(y) // BATCH_SIZE)) as progress:
        filled = inpainted(model, y, mask, rng=rng, n_samples=args.n, n_steps=n_steps, progress=progress).cpu()
    if args.out.suffix == ".png":
        filled = torch.cat([torch.where(known, images, HIDDEN)[None], filled])
    write_shown(filled.transpose(0, 1).flatten(0, 1), args.out, n_columns=args.n + 1)
    say(f"wrote {args.out}")
    return 0


def _known(args: argparse.Namespace, n: int) -> Tensor:
    """Which pixels are known, bool, (n, 1, 28, 28)."""
    if args.mask is not None:
        return _read_mask(args.mask, n)
    known = torch.ones(n, 1, SIDE, SIDE, dtype=torch.bool)
    top, left, bottom, right = args.box or (0, 0, 0, 0)
    rows, columns = HALVES[args.half] if args.half else (slice(top, bottom), slice(left, right))
    known[:, :, rows, columns] = False
    return known


def _read_mask(path: Path, n: int) -> Tensor:
    mask = read_images(path) > 0.5
    if len(mask) not in (1, n):
        raise BadInput(f"{path}: {len(mask)} masks for {n} images; give one for all, or one for each")
    if mask.all():
        raise BadInput(f"{path}: every pixel is known; black pixels of a mask are filled, white ones are kept")
    return mask.expand(n, -1, -1, -1)
