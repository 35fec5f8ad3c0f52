"""Likelihood: bits per pixel of test images, by the denoising chain's variational bound and by its probability flow."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ebmnist.energies.levels import levels_of
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult, mean_metric, take
from ebmnist.evaluation.detectors import fit_components
from ebmnist.evaluation.normalised_metrics import NORMALISED, Flow, normalised_metrics
from ebmnist.inference.calibration import N_BYTES, PSEUDO_COUNT, bytes_of
from ebmnist.inference.chain_fit import Chains, fit_chains, level_edges, n_candidates
from ebmnist.inference.denoisers import denoiser_of
from ebmnist.inference.gaussian import Gaussian
from ebmnist.inference.probability_flow import log_density
from ebmnist.inference.variational_bound import Chain, bits_per_dimension, dequantised_loss
from ebmnist.random import Rng
from ebmnist.sampling.base import Kernel, NoiseSchedule, is_denoiser

SIGMA_MAX, SIGMA_LOW = 2.0, 0.044  # of the levels; a kernel with noise levels has a largest σ of its own
BITS = "bits per dimension"
N_HISTOGRAM = 10_000  # training images that histograms of single pixels are made of
Watch = Callable[[int], None]
N_MIN = 100  # images of a split; fewer tell nothing of 256 bytes


@dataclass(frozen=True)
class Likelihood:
    """−log p(bytes) of test images in bits a pixel: the variational bound of the denoiser x − ∇E(x)/κ, and its ODE's.

    The bound is that of Kingma et al. (2021), the probability-flow ODE that of Song et al. (2021).

    Raises:
        BadInput: a field out of its range.
        Unmeasurable: by `measure`, if gradients are not finite, or a split is too small.
    """

    n_fit: int = 5000
    """Training images that calibrations are fitted to, ≥ 100. Cost: 1.5 gradients of each, for each level."""
    n_validation: int = 500
    """Validation images that choose σ_min, ≥ 100. Cost: 3 gradients of each, for each level."""
    n_test: int = 10_000
    """Test images, ≥ 100. Cost: about a gradient of each, for each level."""
    n_flow: int = 500
    """Test images of the probability flow and of the uncalibrated bound, ≥ 20. Cost: 12 `n_steps` gradients of each."""
    n_levels: int = 11
    """Ranges of noise that are calibrated one by one, ≥ 2."""
    n_steps: int = 8
    """Steps of the ODE's solver, ≥ 1; with 8, log p was within a nat."""

    def __post_init__(self) -> None:
        if min(self.n_fit, self.n_validation, self.n_test) < N_MIN or self.n_flow < 20:
            raise BadInput(f"likelihood: n_fit, n_validation and n_test must be ≥ {N_MIN}, and n_flow ≥ 20")
        if self.n_levels < 2 or self.n_steps < 1:
            raise BadInput("likelihood: n_levels must be ≥ 2, and n_steps ≥ 1")

    @classmethod
    def quick(cls) -> Self:
        """Fewer images and coarser levels: seconds, and a bound that is a little looser."""
        return cls(n_fit=500, n_validation=100, n_test=300, n_flow=32, n_levels=5, n_steps=4)

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        """Measure the model."""
        train, validation, test = self._images(context)
        prior = Gaussian(*fit_components(context.dataset.train.images.to(context.device)))
        edges = level_edges(_sigma_max(context.kernel), SIGMA_LOW, self.n_levels)
        # Two fits, three passes over the test images, the flow: what each is of the whole is not exact.
        parts = [*[self.n_levels + n_candidates(edges)] * 2, *[self.n_levels] * 3, self.n_steps]
        told = [context.steps(sum(parts), before=sum(parts[:k])) for k in range(len(parts))]
        denoiser = denoiser_of(context.energy, context.kernel)
        mine = fit_chains(denoiser, prior, train, validation, edges, rng=rng, watch=told[0])
        linear = fit_chains(prior, prior, train, validation, edges, rng=rng, watch=told[1])
        subset = take(test, self.n_flow, context.device)
        bound = mine.calibrated.chain.loss(test, rng=rng, watch=told[2])
        plain = mine.scaled.chain.loss(subset, rng=rng, watch=told[3])
        gaussian = linear.calibrated.chain.loss(test, rng=rng, watch=told[4])
        metrics = [
            _bits("at most", bound.total, test, mine.calibrated.chain),
            *(mean_metric(f"{part} of the bound", nats, unit="nats") for part, nats in bound._asdict().items()),
            _bits("at most, uncalibrated", plain.total, subset, mine.scaled.chain),
        ]
        arrays = _curves(mine, test)
        if is_denoiser(context.kernel):
            flow, curve = self._flow(mine, validation, subset, rng, told[5])
            metrics += [_bits("probability flow", flow.nats, subset, flow.chain)]
            metrics += normalised_metrics(context, flow, test, rng)
            arrays["validation, probability flow"] = curve
        some = take(context.dataset.train.images, N_HISTOGRAM, context.device)
        return SectionResult(
            metrics=tuple(metrics),
            baselines=(
                _bits("Gaussian denoiser, at most", gaussian.total, test, linear.calibrated.chain),
                _bits("independent pixels", independent_pixels(some, test), test),
                Metric(f"{BITS}, uniform", math.log2(N_BYTES), 0.0, "bits"),
            ),
            arrays=arrays,
            method=self._method(context, len(test), edges, rng),
        )

    def _flow(self, mine: Chains, validation: Tensor, x: Tensor, rng: Rng, told: Watch) -> tuple[Flow, Tensor]:
        """Return what the flow says, with σ_min from the candidates by a few validation images, and their curve."""

        def nats(chain: Chain, images: Tensor, watch: Watch | None = None) -> Tensor:
            def log_p(y: Tensor) -> Tensor:
                ends = chain.sigma_min, chain.sigma_max
                return log_density(mine.denoiser, y, chain.prior, *ends, n_steps=self.n_steps, rng=rng, watch=watch)

            return dequantised_loss(log_p, chain.decoder, images, chain.sigma_min, rng=rng)

        few = take(validation, max(20, self.n_flow // 20), x.device)
        curve = torch.stack([nats(chain, few).mean() for chain in mine.scaled.candidates])
        best = mine.scaled.candidates[int(curve.argmin())]
        twin = copy.copy(rng)
        found = nats(best, x, told)
        if not (curve.isfinite().all() and found.isfinite().all()):
            raise Unmeasurable("the probability flow leads to numbers that are not finite")
        return Flow(x, found, best, twin), bits_per_dimension(curve, x[0].numel()).cpu()

    def _images(self, context: EvaluationContext) -> list[Tensor]:
        """The images of the three splits that are used, evenly spaced."""
        data, sizes = context.dataset, (self.n_fit, self.n_validation, self.n_test)
        splits = data.train, data.validation, data.test
        found = [take(split.images, n, context.device) for split, n in zip(splits, sizes, strict=True)]
        if min(map(len, found)) < N_MIN:
            raise Unmeasurable(f"a split has fewer than {N_MIN} images")
        return found

    def _method(self, context: EvaluationContext, n_test: int, edges: list[float], rng: Rng) -> str:
        ode = (
            f"Probability flow: the ODE of Song et al. (2021) for the uncalibrated denoiser, {self.n_steps} steps of "
            "the Runge-Kutta method of order 4, Hutchinson's trace; Gaussian noise σ_min makes bytes real, and the "
            "same decoder takes them back. "
            if is_denoiser(context.kernel)
            else "This energy was trained at one temperature, so it has no probability flow. "
        )
        told = NORMALISED if levels_of(context.energy) else ""
        return (
            "Bits a pixel that the bytes of a test image take; less is better. At most: the variational bound (Kingma "
            "et al. 2021) of a chain that denoises by D(y) = y − ∇E(y)/κ, with infinitely many steps. Its prior is a "
            f"Gaussian with the training images' mean and covariance and noise σ = {edges[0]:.3g}; diffusion is the "
            "error of the denoiser at all noise levels; the decoder gives each byte's probability where σ_min is "
            f"reached. The denoiser is scaled and calibrated, and the decoder fitted, on {self.n_fit} training images, "
            "by tables of bytes over the estimate, the largest of its neighbours and the noisy pixel "
            f"({self.n_levels} noise levels). σ_min is the best on {self.n_validation} validation images. "
            f"Uncalibrated: scaled alone. {ode}{n_test} test images, {min(self.n_flow, n_test)} for the uncalibrated "
            f"bound and the flow. {told}"
            "Gaussian denoiser: the same bound, calibration and decoder with the Wiener filter for the energy. "
            f"Independent pixels: a histogram of bytes for each pixel, {N_HISTOGRAM} training images. A Boltzmann "
            "likelihood, exp(−E/T)/Z, is not reported: this training does not define it "
            f"(docs/concepts/likelihood.md). Seed {rng.seed}."
        )


def independent_pixels(train: Tensor, x: Tensor) -> Tensor:
    """Return −log p(bytes of x) in nats, (B, *shape) -> (B,), with a smoothed histogram of bytes for each pixel."""
    pixels = torch.arange(x[0].numel(), device=x.device) * N_BYTES
    counts = torch.zeros(len(pixels) * N_BYTES, dtype=torch.float64, device=x.device)
    for part in torch.split(train, 1000):
        counts += (bytes_of(part).flatten(1) + pixels).flatten().bincount(minlength=len(counts))
    table = counts.view(len(pixels), N_BYTES)
    whole = (table.sum(0) + 1 / N_BYTES) / (table.sum() + 1)
    log_p = ((table + PSEUDO_COUNT * whole) / (len(train) + PSEUDO_COUNT)).log().flatten()
    return -log_p[bytes_of(x).flatten(1) + pixels].sum(1)


def _sigma_max(kernel: Kernel) -> float:
    """The largest noise that the energy was trained at."""
    if not isinstance(kernel, NoiseSchedule):
        return SIGMA_MAX
    return float(kernel.sigma(torch.arange(kernel.cycle, device="cpu")).max())


def _bits(name: str, nats: Tensor, x: Tensor, chain: Chain | None = None) -> Metric:
    note = f"N = {len(x):,}" + (f"; σ_min = {chain.sigma_min:.3g}" if chain else "")
    return mean_metric(f"{BITS}, {name}", bits_per_dimension(nats, x[0].numel()), unit="bits", note=note)


def _curves(mine: Chains, x: Tensor) -> dict[str, Tensor]:
    """The bounds on validation images against σ_min, in bits a pixel."""
    kinds = {"calibrated": mine.calibrated, "uncalibrated": mine.scaled}
    curves = {f"validation, {name}": bits_per_dimension(f.nats, x[0].numel()) for name, f in kinds.items()}
    return {"sigma_min": mine.calibrated.sigmas, **curves}
