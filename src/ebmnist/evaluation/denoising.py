"""Denoising: Tweedie's one step, several of them, posterior samples or descent, beside two other denoisers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ebmnist.data.corruptions import add_noise
from ebmnist.energies.freezing import frozen
from ebmnist.energies.levels import levels_of
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult, mean_metric, take
from ebmnist.evaluation.denoising_autoencoder import DenoisingAutoencoder, train_autoencoder
from ebmnist.evaluation.wiener import Wiener, fit_wiener
from ebmnist.inference.denoisers import denoiser_of
from ebmnist.inference.descent import choose_stop, denoise
from ebmnist.inference.image_quality import psnr, ssim
from ebmnist.inference.iterated import fit_iterated
from ebmnist.inference.noise_level import noise_level
from ebmnist.inference.operators import Identity
from ebmnist.inference.posterior import restore
from ebmnist.inference.tweedie import choose_scale, tweedie
from ebmnist.random import Rng
from ebmnist.sampling.base import is_denoiser
from ebmnist.sampling.samples import box_of

STEP_SCALES = (1.0, 0.5)
N_MIN = 20  # images; below, a standard error is no longer one
N_SHOWN = 10  # images of each kind that are kept for the pictures


class Estimate(NamedTuple):
    """Cleaned images (B, 1, 28, 28), and in words what was chosen for them on validation."""

    images: Tensor
    chosen: str = ""


class Baselines(NamedTuple):
    """What was fitted on the training images."""

    wiener: Wiener
    autoencoder: DenoisingAutoencoder

    def estimates(self, y: Tensor, sigma: float) -> dict[str, Estimate]:
        """Return the baselines' images."""
        return {
            "noisy": Estimate(y),
            "Wiener": Estimate(self.wiener.denoise(y, sigma)),
            "autoencoder": Estimate(self.autoencoder.denoise(y, sigma)),
        }


@dataclass(frozen=True)
class Denoising:
    """PSNR and SSIM of test images noised at several levels and cleaned by the energy, beside three baselines.

    Raises:
        BadInput: a field out of its range.
        Unmeasurable: by `measure`, if the energy leaves NaN images or has no gradient.
    """

    sigmas: tuple[float, ...] = (0.1, 0.2, 0.3, 0.5, 0.75)
    """Standard deviations of the noise, on pixels in [0, 1]."""
    n: int = 250
    """Test images. Cost for each σ: n × (16 + 46 × n_samples) gradients; by default 50,000."""
    n_validation: int = 200
    """Validation images that choose. Cost for each σ: 16 gradients each, or 256 where the energy is descended."""
    n_samples: int = 4
    """Posterior samples of each image."""
    n_updates: int = 500
    """Updates of the autoencoder, of 64 images each: about 20 ms on two cores."""

    def __post_init__(self) -> None:
        if min(self.sigmas, default=0) <= 0:
            raise BadInput(f"denoising: sigmas must be some numbers > 0, not {list(self.sigmas)}")
        if min(self.n, self.n_validation) < 2 or min(self.n_samples, self.n_updates) < 1:
            raise BadInput("denoising: n and n_validation must be ≥ 2, n_samples and n_updates ≥ 1")

    @classmethod
    def quick(cls) -> Self:
        """Two noise levels, few images; the autoencoder is then no upper bound."""
        return cls(sigmas=(0.1, 0.3), n=32, n_validation=32, n_samples=2, n_updates=40)

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        """Measure the model."""
        train = context.dataset.train.images.to(context.device)
        clean = take(context.dataset.test.images, self.n, context.device)
        if len(clean) < N_MIN:
            raise Unmeasurable(f"{len(clean)} test images are too few; at least {N_MIN} are needed")
        autoencoder = train_autoencoder(train, self.sigmas, self.n_updates, rng=rng)
        fitted = Baselines(fit_wiener(train), autoencoder)
        metrics: list[Metric] = []
        baselines: list[Metric] = []
        arrays = {"clean": clean[:N_SHOWN]}
        helped = []
        for sigma in self.sigmas:
            y = add_noise(clean, sigma, rng)
            mine = self._estimates(context, y, sigma, rng)
            theirs = fitted.estimates(y, sigma)
            for estimates, beside in ((mine, metrics), (theirs, baselines)):
                for name, estimate in estimates.items():
                    beside += _metrics(f"{name}, σ={sigma:g}", estimate, clean)
                    arrays[f"{name}, σ={sigma:g}"] = estimate.images[:N_SHOWN].clamp(0, 1)
            if is_denoiser(context.kernel) and levels_of(context.energy) is None:  # it is not told the noise
                found = noise_level(denoiser_of(context.energy, context.kernel), y, rng=rng)
                spread = f"standard deviation over images {float(found.std()) / sigma:.1%} of σ"
                metrics.append(mean_metric(f"noise level estimated, σ={sigma:g}", found, note=spread))
            gain = psnr(mine["Tweedie"].images, clean) - psnr(theirs["Wiener"].images, clean)
            helped += [sigma] if float(gain.mean()) > 0 else []
        return SectionResult(
            tuple(metrics),
            tuple(baselines),
            {name: array.cpu() for name, array in arrays.items()},
            self._method(context, len(clean), helped, rng),
        )

    def _estimates(self, context: EvaluationContext, y: Tensor, sigma: float, rng: Rng) -> dict[str, Estimate]:
        """Clean `y` in the ways that the energy allows, each as validation images say."""
        energy, kernel, box = frozen(context.energy), context.kernel, box_of(context.kernel)  # once, for all chains
        chosen = take(context.dataset.validation.images, self.n_validation, context.device)
        scale = choose_scale(energy, chosen, sigma, rng=rng, clamp=box)
        t_step = f"T = {sigma**2 / scale:.2g}" if scale > 0 else "∇E points away from the noise: no step"
        found = {"Tweedie": Estimate(tweedie(energy, y, scale, clamp=box), t_step)}
        if is_denoiser(kernel):
            iterated = fit_iterated(denoiser_of(energy, kernel), chosen, sigma, rng=rng)
            weights = ", ".join(f"{weight:.2f}" for weight in iterated.weights)
            samples = restore(energy, kernel, y, Identity(), sigma, rng=rng, n_samples=self.n_samples)
            found["iterated"] = Estimate(iterated(y), f"weights {weights}")
            found["posterior mean"] = Estimate(samples.mean(0), f"{self.n_samples} samples")
        else:
            stop = choose_stop(energy, kernel, chosen[:50], sigma, rng=rng, step_scales=STEP_SCALES)
            found["descent"] = Estimate(
                denoise(energy, kernel, y, stop.n_steps, rng=rng, step_scale=stop.step_scale),
                f"{stop.n_steps} steps of {stop.step_scale:g} ε",
            )
        return found

    def _method(self, context: EvaluationContext, n: int, helped: list[float], rng: Rng) -> str:
        without = [sigma for sigma in self.sigmas if sigma not in helped]
        comparison = (
            f"It does not reach the linear Wiener filter at σ = {_join(without)}: E was not trained as a score of "
            "noisy data. "
            if without
            else "It beats the linear Wiener filter at every σ. "
        )
        return (
            f"{n} test images of {context.dataset.name}, evenly spread, with Gaussian noise of standard deviation σ on "
            "pixels in [0, 1]. PSNR in dB of each image, clamped to [0, 1], and SSIM (Gaussian windows of σ = 1.5, 11 "
            "by 11); mean over images, error: one standard error. "
            "Tweedie: one step y − σ²∇E/T, T by least squares. "
            f"{self._ways(context)}"
            "The noisy image is clamped to where the kernel's chains may stand. "
            f"{comparison}Everything is chosen for each σ on {self.n_validation} validation images with noise of their "
            f"own. Baselines: the noisy image; the Wiener filter of mean and covariance of the "
            f"{len(context.dataset.train.images)} training images; a small convolutional autoencoder trained for "
            f"{self.n_updates} updates of 64 training images, one net for all σ: as good as so "
            f"short a training makes it. Seed {rng.seed}."
        )

    def _ways(self, context: EvaluationContext) -> str:
        if not is_denoiser(context.kernel):
            return (
                f"Descent: gradient steps at T = 0 from the noisy image ({context.kernel}), step scale among "
                f"{_join(STEP_SCALES)}. "
            )
        return (
            "Iterated: D(y) = y − ∇E(y)/κ, averaged over five shifts and applied three times, its three steps weighted "
            f"by least squares. Posterior mean: the average over {self.n_samples} samples of the image given y. "
            "Noise level: ‖y − D(y)‖/√(d − div D(y)) of each image. "
        )


def _metrics(name: str, estimate: Estimate, clean: Tensor) -> list[Metric]:
    images, chosen = estimate
    invalid = ~torch.isfinite(images).flatten(1).all(1)
    if invalid.any():
        raise Unmeasurable(f"{name}: {int(invalid.sum())} of {len(images)} images hold NaN or infinite pixels")
    return [
        mean_metric(f"{name}: PSNR", psnr(images, clean), unit="dB", note=chosen),
        mean_metric(f"{name}: SSIM", ssim(images, clean)),
    ]


def _join(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
