"""Restoration: images drawn given fewer pixels or a blur, beside linear regression and bicubic interpolation."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor
from torch.nn import functional

from ebmnist.data.corruptions import add_noise
from ebmnist.energies.base import Energy
from ebmnist.energies.freezing import frozen
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult, mean_metric, take
from ebmnist.evaluation.wiener import fit_wiener
from ebmnist.inference.image_quality import psnr
from ebmnist.inference.operators import AveragePool, GaussianBlur, LinearOperator
from ebmnist.inference.posterior import N_STEPS, restore
from ebmnist.random import Rng
from ebmnist.sampling.base import is_denoiser

N_MIN = 20  # images; below, a standard error is no longer one
N_SHOWN = 10  # images of each kind that are kept for the pictures
TASKS: dict[str, tuple[LinearOperator, float]] = {  # operator, and σ of the noise on its measurement
    "super-resolution ×2": (AveragePool(2), 0.0),
    "super-resolution ×4": (AveragePool(4), 0.0),
    "deblurring": (GaussianBlur(1.5), 0.02),
}


@dataclass(frozen=True)
class Restoration:
    """PSNR of test images that were averaged over blocks, or blurred, and then drawn given that.

    An energy of one temperature cannot draw them (`inference.posterior`), and has the baselines alone.

    Raises:
        BadInput: a field out of its range.
        Unmeasurable: by `measure`, if a gradient is not finite or the test split is too small.
    """

    n: int = 100
    """Test images, ≥ 2. Cost for each of 3 tasks: n × n_samples × 46 gradients; by default 36,800."""
    n_samples: int = 8
    """Samples of each image, ≥ 2, whose average is the estimate."""

    def __post_init__(self) -> None:
        if min(self.n, self.n_samples) < 2:
            raise BadInput("restoration: n and n_samples must be ≥ 2")

    @classmethod
    def quick(cls) -> Self:
        """A third of the images, a quarter of the samples."""
        return cls(n=32, n_samples=2)

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        """Measure the model."""
        clean = take(context.dataset.test.images, self.n, context.device)
        if len(clean) < N_MIN:
            raise Unmeasurable(f"{len(clean)} test images are too few; at least {N_MIN} are needed")
        wiener, energy = fit_wiener(context.dataset.train.images.to(context.device)), frozen(context.energy)
        metrics: list[Metric] = []
        baselines: list[Metric] = []
        arrays = {"clean": clean[:N_SHOWN]}
        for task, (operator, sigma) in TASKS.items():
            y = add_noise(operator.forward(clean), sigma, rng)
            mine, spread = self._drawn(context, energy, y, operator, sigma, rng)
            theirs = {
                "interpolation": functional.interpolate(y, size=tuple(clean.shape[2:]), mode="bicubic"),
                "linear regression": wiener.restore(y, operator, sigma),
            }
            for found, beside in ((mine, metrics), (theirs, baselines)):
                beside += [mean_metric(f"{name}, {task}: PSNR", psnr(z, clean), unit="dB") for name, z in found.items()]
            blocks = functional.interpolate(y, size=tuple(clean.shape[2:]))
            pictures = {"measured": blocks, **mine, **spread, "linear regression": theirs["linear regression"]}
            arrays |= {f"{name}, {task}": z[:N_SHOWN].clamp(0, 1) for name, z in pictures.items()}
        cpu = {name: array.cpu() for name, array in arrays.items()}
        return SectionResult(tuple(metrics), tuple(baselines), cpu, self._method(context, len(clean), rng))

    def _drawn(
        self, context: EvaluationContext, energy: Energy, y: Tensor, operator: LinearOperator, sigma: float, rng: Rng
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Draw images given `y`: the first sample and the average, and twice the standard deviation; or neither."""
        if not is_denoiser(context.kernel):
            return {}, {}
        x = restore(energy, context.kernel, y, operator, sigma, rng=rng, n_samples=self.n_samples)
        return {"one sample": x[0], "samples averaged": x.mean(0)}, {"spread": 2 * x.std(0, correction=0)}

    def _method(self, context: EvaluationContext, n: int, rng: Rng) -> str:
        drawn = (
            f"Images are drawn given these, by {N_STEPS} steps of guided ancestral sampling. "
            if is_denoiser(context.kernel)
            else "This energy was trained at one temperature, so it draws none given these. "
        )
        return (
            f"{n} test images of {context.dataset.name}, evenly spread: means over blocks of 2 × 2 and of 4 × 4 "
            f"pixels, or a Gaussian blur of 1.5 pixels with noise of σ = 0.02. {drawn}PSNR in dB of each image, "
            "clamped to [0, 1]; mean over images, error: one standard error. One sample is an image that may have been "
            f"measured; the average over {self.n_samples} is what squared error rewards. Pictures show twice the "
            "standard deviation over them. "
            "Baselines: bicubic interpolation, which leaves a blurred image as it is; linear regression on what was "
            "measured, the conditional mean of a Gaussian with the training images' mean and full covariance, for "
            f"blurred images the Wiener filter. Seed {rng.seed}."
        )
