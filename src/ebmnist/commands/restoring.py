"""The commands that restore images: from noise, from fewer pixels, and from a blur."""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from ebmnist.commands.ends import may_write, write_shown
from ebmnist.console import say
from ebmnist.data import read_images
from ebmnist.data.corruptions import add_noise
from ebmnist.errors import BadInput
from ebmnist.inference.image_quality import psnr
from ebmnist.inference.operators import AveragePool, GaussianBlur, Identity, LinearOperator
from ebmnist.inference.posterior import BATCH_SIZE, N_STEPS, restore
from ebmnist.random import Rng
from ebmnist.restoring import common_noise_level, denoised, denoised_once
from ebmnist.terminal import steps_bar
from ebmnist.trained import Trained, load

SIDE = 28
WIDEST = 1.0  # σ of noise that is still to be estimated, at most
N_SHOWN = 10  # test images, where none are given


def denoise_images(args: argparse.Namespace, _: list[str]) -> int:
    """Clean noisy images, or show how test images fare."""
    may_write(args.out, (".png", ".npy"), force=args.force, source=args.input)
    if args.input is None and args.sigma is None:
        raise BadInput("denoise: give --sigma, the noise that test images get; it is estimated for --input alone")
    if args.fast and args.samples is not None:
        raise BadInput("denoise: give --fast or --samples, not both")
    model = load(args.model, args.device, args.data_root)
    rng, clean = Rng(args.seed, device=model.device), None
    if args.input is not None:
        noisy = read_images(args.input, WIDEST if args.sigma is None else args.sigma).to(model.device)
    else:
        clean = model.recipe.load_data().test.images[:N_SHOWN].to(model.device)
        noisy = add_noise(clean, args.sigma, rng)
    cleaned = _cleaned(args, model, noisy, clean, rng)
    if clean is not None:
        before, after = (float(psnr(x, clean).mean()) for x in (noisy, cleaned))
        say(f"{N_SHOWN} test images, σ = {args.sigma:g}: {before:.1f} dB noisy, {after:.1f} dB cleaned")
    say(f"wrote {args.out}")
    return 0


def _cleaned(args: argparse.Namespace, model: Trained, noisy: Tensor, clean: Tensor | None, rng: Rng) -> Tensor:
    """Clean the images as asked for, and write what comes of it."""
    sigma = args.sigma
    if sigma is None and not args.fast:
        sigma = common_noise_level(model, noisy, rng)
        say(f"σ is estimated as {sigma:.3g}")
    if args.samples is not None:
        samples = _draw(model, noisy, Identity(), sigma, args.samples, rng)
        _write(noisy.clamp(0, 1), samples, args.out)
        return samples.mean(0)
    cleaned = denoised_once(model, noisy, sigma) if args.fast else denoised(model, noisy, sigma, rng)
    shown = cleaned if clean is None else torch.cat([clean, noisy.clamp(0, 1), cleaned])
    write_shown(shown, args.out, n_columns=None if clean is None else N_SHOWN)
    return cleaned


def restore_images(args: argparse.Namespace, _: list[str]) -> int:
    """Draw sharp images given small or blurred ones, or show how test images fare."""
    may_write(args.out, (".png", ".npy"), force=args.force, source=args.input)
    model = load(args.model, args.device, args.data_root)
    rng = Rng(args.seed, device=model.device)
    factor = args.super_resolution or 1
    operator: LinearOperator = AveragePool(factor) if args.super_resolution else GaussianBlur(args.deblur)
    clean = None
    if args.input is not None:
        measured = read_images(args.input, args.sigma, side=SIDE // factor).to(model.device)
    else:
        clean = model.recipe.load_data().test.images[:N_SHOWN].to(model.device)
        measured = add_noise(operator.forward(clean), args.sigma, rng)
    samples = _draw(model, measured, operator, args.sigma, args.n, rng)
    shown = measured.repeat_interleave(factor, -1).repeat_interleave(factor, -2).clamp(0, 1)
    _write(shown, samples, args.out)
    if clean is not None:
        before, one, mean = (float(psnr(x, clean).mean()) for x in (shown, samples[0], samples.mean(0)))
        said = f"{before:.1f} dB measured, {one:.1f} dB a sample, {mean:.1f} dB the mean of {args.n}"
        say(f"{N_SHOWN} test images: {said}")
    say(f"wrote {args.out}")
    return 0


def _draw(model: Trained, y: Tensor, operator: LinearOperator, sigma: float, n: int, rng: Rng) -> Tensor:
    """Draw `n` samples of each image, (n, B, 1, 28, 28), behind a bar."""
    with steps_bar("sampling", N_STEPS * -(-n * len(y) // BATCH_SIZE)) as progress:
        return restore(model, model.kernel, y, operator, sigma, rng=rng, n_samples=n, progress=progress)


def _write(measured: Tensor, samples: Tensor, path: Path) -> None:
    """Write the samples of each image; a .png has a row for each: what was measured, mean, spread, samples.

    The spread is twice the standard deviation of each pixel, so that the most it can be, between black and white, is
    white.
    """
    shown = samples
    if path.suffix == ".png":
        spread = (2 * samples.std(0, correction=0)).clamp(0, 1)
        shown = torch.cat([torch.stack([measured, samples.mean(0), spread]), samples])
    write_shown(shown.transpose(0, 1).flatten(0, 1), path, n_columns=len(shown))
