"""Inpainting: hidden pixels drawn given the others, beside the mean image and linear regression."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ebmnist.energies.freezing import frozen
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult, mean_metric, take
from ebmnist.evaluation.wiener import fit_wiener
from ebmnist.inference.image_quality import psnr
from ebmnist.inference.inpainting import choose_fill, inpaint
from ebmnist.inference.posterior import N_STEPS
from ebmnist.random import AnyRng, Rng
from ebmnist.sampling.base import is_denoiser

N_MIN = 20  # images; below, a standard error is no longer one
N_SHOWN = 10  # images of each kind that are kept for the pictures


@dataclass(frozen=True)
class Inpainting:
    """PSNR on the hidden pixels of test images whose right half, lower half or half of all pixels is missing.

    Raises:
        BadInput: a field out of its range.
        Unmeasurable: by `measure`, if the energy leaves NaN pixels or the test split is too small.
    """

    n: int = 100
    """Test images. Cost for each of 3 masks: n × n_chains × 46 gradients, or × (at most the longest length)."""
    n_validation: int = 24
    """Validation images that choose for a kernel without noise levels.
    Cost for each mask: 2 × n_validation × n_chains × the longest length."""
    n_chains: int = 16
    """Chains for each image, whose average is the estimate."""
    lengths: tuple[int, ...] = (4, 8, 16, 32, 64, 128)
    """Chain lengths to choose among, for a kernel without noise levels."""

    def __post_init__(self) -> None:
        if min(self.n, self.n_validation) < 2 or min((self.n_chains, *self.lengths)) < 1 or not self.lengths:
            raise BadInput("inpainting: n and n_validation must be ≥ 2, n_chains and lengths ≥ 1")

    @classmethod
    def quick(cls) -> Self:
        """A third of the images, an eighth of the chains, of half the length."""
        return cls(n=32, n_validation=12, n_chains=2, lengths=(8, 16, 32, 64))

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        """Measure the model."""
        train = context.dataset.train.images.to(context.device)
        clean = take(context.dataset.test.images, self.n, context.device)
        if len(clean) < N_MIN:
            raise Unmeasurable(f"{len(clean)} test images are too few; at least {N_MIN} are needed")
        wiener = fit_wiener(train)
        metrics: list[Metric] = []
        baselines: list[Metric] = []
        arrays = {"clean": clean[:N_SHOWN]}
        for mask, observed in masks(tuple(clean.shape[1:]), rng).items():
            mean = wiener.mean.to(clean).view_as(observed)
            mine, chosen = self._fills(context, clean, observed, mean, rng)
            theirs = {"mean image": mean.expand_as(clean), "linear regression": wiener.fill(clean, observed)}
            metrics += [_metric(f"{name}, {mask}", x, clean, observed, chosen) for name, x in mine.items()]
            baselines += [_metric(f"{name}, {mask}", x, clean, observed) for name, x in theirs.items()]
            pictures = {"masked": torch.full_like(clean, 0.5), **mine, "linear regression": theirs["linear regression"]}
            arrays |= {
                f"{name}, {mask}": torch.where(observed, clean, x)[:N_SHOWN].clamp(0, 1) for name, x in pictures.items()
            }
        return SectionResult(
            tuple(metrics),
            tuple(baselines),
            {name: array.cpu() for name, array in arrays.items()},
            self._method(context, len(clean), rng),
        )

    def _fills(
        self, context: EvaluationContext, clean: Tensor, observed: Tensor, mean: Tensor, rng: Rng
    ) -> tuple[dict[str, Tensor], str]:
        """Fill the hidden pixels; return the first chain, the average, and what was chosen on validation images."""
        energy, kernel, start = frozen(context.energy), context.kernel, None
        n_steps, chosen = N_STEPS, f"{N_STEPS} steps"
        if not is_denoiser(kernel):
            validation = take(context.dataset.validation.images, self.n_validation, context.device)
            n, lengths = self.n_chains, self.lengths
            fill = choose_fill(energy, kernel, validation, observed, mean, rng=rng, lengths=lengths, n_chains=n)
            start, n_steps = mean if fill.start == "mean" else None, fill.n_steps
            chosen = f"{n_steps} steps from {'noise' if start is None else 'the mean image'}"
        x = inpaint(energy, kernel, clean, observed, n_steps, rng=rng, n_samples=self.n_chains, start=start)
        invalid = ~torch.isfinite(x).flatten(2).all(2)
        if invalid.any():
            raise Unmeasurable(f"{int(invalid.sum())} of {invalid.numel()} chains hold NaN or infinite pixels")
        return {"one chain": x[0], "chains averaged": x.mean(0)}, chosen

    def _method(self, context: EvaluationContext, n: int, rng: Rng) -> str:
        ways = (
            "Chains move the hidden pixels alone, at the kernel's own temperature "
            f"({context.kernel}); observed ones stay as they are. Where chains start (uniform noise or the mean "
            f"training image) and how long they are (among {', '.join(map(str, self.lengths))} steps) is chosen for "
            f"each mask by the average's PSNR on {self.n_validation} validation images. "
        )
        if is_denoiser(context.kernel):
            ways = f"Hidden pixels are drawn given the others, by {N_STEPS} steps of guided ancestral sampling. "
        return (
            f"{n} test images of {context.dataset.name}, evenly spread, without their right half, their lower half, or "
            f"half of their pixels at random, the same for all. {ways}PSNR in dB on each image's hidden pixels, "
            "clamped to [0, 1]; mean over images, error: one standard error. One chain is a completion, which may be "
            f"a good one and still not the true one; the average over {self.n_chains} is what squared error rewards. "
            "Baselines: the mean training image; linear regression on the observed pixels, the conditional mean of a "
            "Gaussian with the training images' mean and full covariance plus the variance of rounding to 256 levels. "
            f"Seed {rng.seed}."
        )


def masks(shape: tuple[int, ...], rng: AnyRng) -> dict[str, Tensor]:
    """Return by name what is observed of images of a shape (C, H, W), each (C, H, W) bool; half is hidden."""
    rows, columns = shape[1], shape[2]
    everything = torch.ones(shape, dtype=torch.bool, device=rng.device)
    left, upper = everything.clone(), everything.clone()
    left[..., columns - columns // 2 :] = False
    upper[..., rows - rows // 2 :, :] = False
    hidden = Rng.of(rng).permutation(everything.numel())[: everything.numel() // 2]
    return {
        "right half": left,
        "lower half": upper,
        "random pixels": everything.flatten().index_fill(0, hidden, False).view(shape),
    }


def _metric(name: str, x: Tensor, clean: Tensor, observed: Tensor, note: str = "") -> Metric:
    return mean_metric(f"{name}: PSNR", psnr(x, clean, where=~observed), unit="dB", note=note)
