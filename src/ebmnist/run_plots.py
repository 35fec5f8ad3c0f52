"""What is shown of a trained run: each function measures one thing and draws it, and says in words what it is."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.data.base import Dataset
from ebmnist.data.corruptions import add_noise
from ebmnist.inference.image_quality import psnr
from ebmnist.random import Rng
from ebmnist.reporting import Checkpoint, RunFolder
from ebmnist.reporting.plots import (
    Denoised,
    film_steps,
    save_animation,
    save_beside_data,
    save_curves,
    save_denoising,
    save_energies,
    save_film_strip,
    save_replay,
    save_samples,
)
from ebmnist.reporting.report import Part
from ebmnist.restoring import fitted_denoiser
from ebmnist.sampling import Chain, cycle_of, run_chain, samples_of, uniform_noise
from ebmnist.sampling.samples import less_noise
from ebmnist.trained import Trained

SIGMAS = (0.1, 0.2, 0.3, 0.5)
N_DENOISED = 200  # test images measured at each noise level
N_SHOWN = 10
N_ENERGIES = 1000


class Setting(NamedTuple):
    """What every picture of a run needs."""

    model: Trained
    dataset: Dataset
    run: RunFolder
    rng: Rng
    checkpoint: Checkpoint  # that the model is of


def run_plots(setting: Setting) -> Iterator[Part]:
    """Measure and draw everything, part by part."""
    model, rng = setting.model, setting.rng
    noise = uniform_noise(model.recipe.generation.n_images, (1, 28, 28), rng)
    kernel, n_steps = model.sampler()
    chain = run_chain(model, kernel, noise, n_steps, rng=rng, keep=_film_steps(model))
    x = samples_of(model, kernel, chain.x)
    yield samples(setting, x.cpu())
    yield chains(setting, chain)
    yield denoising(setting)
    yield energies(setting, x)
    yield curves(setting)
    if (part := replay(setting)) is not None:
        yield part


def samples(setting: Setting, x: Tensor) -> Part:
    """Images from uniform noise, alone and beside real ones."""
    model, dataset, run, *_ = setting
    recipe, seed, (kernel, n_steps) = model.recipe.basics.name, model.recipe.basics.seed, model.sampler()
    alone, beside = run.figures / "samples.png", run.figures / "samples-beside-data.png"
    save_samples(x, alone, recipe=recipe, n_steps=n_steps, seed=seed)
    save_beside_data(x, dataset.test.images[: len(x)], beside, recipe=recipe, n_steps=n_steps, seed=seed)
    words = (
        f"{len(x)} images, each the end of a chain of {n_steps} steps from uniform noise"
        f"{less_noise(kernel)}, none left out; "
        "beside the first test images. The averaged (EMA) weights are used."
    )
    return Part("Images from noise", words, (beside, alone))


def chains(setting: Setting, chain: Chain) -> Part:
    """The way from noise, as a strip and a film."""
    model, run = setting.model, setting.run
    assert chain.trajectory is not None
    steps, x = _film_steps(model), chain.trajectory.cpu()
    strip, film = run.figures / "chain.png", run.figures / "chain.webp"
    save_film_strip(x[:, :8], steps, strip, recipe=model.recipe.basics.name)
    save_animation(x[:, :36], steps, film)
    return Part("From noise to digits", "The same chains on their way.", (strip, film))


def denoising(setting: Setting) -> Part:
    """Test images noised at several levels, and cleaned as validation images say."""
    model, dataset, run, rng, _ = setting
    clean = dataset.test.images[:N_DENOISED].to(model.device)
    levels, rows = [], []
    for sigma in SIGMAS:
        fitted = fitted_denoiser(model, sigma, rng, dataset.validation.images)
        noisy = add_noise(clean, sigma, rng)
        cleaned = fitted.clean(noisy)
        before, after = psnr(noisy, clean), psnr(cleaned, clean)
        levels.append(Denoised(sigma, *(t[:N_SHOWN].cpu() for t in (clean, noisy, cleaned, before, after))))
        error = float(after.std()) / len(after) ** 0.5
        rows.append(
            (
                f"{sigma:g}",
                f"{float(before.mean()):.1f}",
                f"{float(after.mean()):.1f} ± {error:.1f}",
                fitted.words,
            )
        )
    picture = run.figures / "denoising.png"
    save_denoising(levels, picture, recipe=model.recipe.basics.name)
    words = (
        f"The first {N_DENOISED} test images with Gaussian noise of standard deviation σ (pixels on [0, 1]), cleaned "
        "by the energy, as was fitted on 200 validation images. "
        "PSNR in dB, mean ± standard error; the picture shows the first ten."
    )
    columns = ("σ", "noisy, dB", "cleaned, dB", "fitted")
    return Part("Denoising", words, (picture,), columns, tuple(rows))


def energies(setting: Setting, x: Tensor) -> Part:
    """Histograms of the energy of train, test, samples and noise."""
    model, dataset, run, rng, _ = setting
    sets = {
        "train": dataset.train.at(slice(N_ENERGIES)).images,
        "test": dataset.test.images[:N_ENERGIES],
        "samples": x,
        "noise": uniform_noise(N_ENERGIES, (1, 28, 28), rng),
    }
    values = {name: energy_of(model, images) for name, images in sets.items()}
    picture = run.figures / "energies.png"
    save_energies(values, picture, recipe=model.recipe.basics.name)
    rows = tuple((n, str(len(v)), f"{float(v.mean()):.3f}", f"{float(v.std()):.3f}") for n, v in values.items())
    words = "Low is likely. Train and test should coincide, samples should lie with them, and noise far above."
    return Part("Energies", words, (picture,), ("set", "N", "mean E", "std E"), rows)


def curves(setting: Setting) -> Part:
    """Training curves, with what the guard did."""
    run = setting.run
    picture = run.figures / "curves.png"
    save_curves(run.read_metrics(), run.read_events(), picture, recipe=setting.model.recipe.basics.name)
    return Part("Training", "What every update recorded, and where the guard acted.", (picture,))


def replay(setting: Setting) -> Part | None:
    """The replay buffer; None for a run that has none."""
    run, model, tensors = setting.run, setting.model, setting.checkpoint.tensors
    if "start.images" not in tensors:
        return None
    picture = run.figures / "replay.png"
    images, age, lineage = (tensors[f"start.{name}"] for name in ("images", "age", "lineage"))
    save_replay(images, age, lineage, picture, recipe=model.recipe.basics.name)
    words = (
        "Chains of the replay buffer, which training sees and pushes up. They are not samples from noise, and no "
        "figure of this report is measured on them."
    )
    return Part("The replay buffer", words, (picture,))


def _film_steps(model: Trained) -> list[int]:
    kernel, n_steps = model.sampler()
    return film_steps(n_steps, cycle_of(kernel))


@torch.no_grad()
def energy_of(model: Trained, images: Tensor, batch_size: int = 500) -> Tensor:
    """E of each image, (N, 1, 28, 28) -> (N,), on the CPU."""
    return torch.cat([model(x.to(model.device)).cpu() for x in torch.split(images, batch_size)])
