"""Mixing: do chains from noise and from data agree, how fast do they forget, would an exact sampler step as far?"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.energies.freezing import frozen
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.acceptance import mala_acceptance
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult, evenly_spaced, mean_metric
from ebmnist.evaluation.convergence import autocorrelation, ess_bulk, ess_tail, rhat
from ebmnist.evaluation.detectors import fit_components
from ebmnist.evaluation.feature_net import FeatureNet, load_feature_net
from ebmnist.inference.jackknife import jackknife
from ebmnist.random import Rng
from ebmnist.sampling.chain import run_chain
from ebmnist.sampling.samples import boxed, cycle_of
from ebmnist.sampling.start.noise import uniform_noise

FUNCTIONALS = {
    "energy": slice(0, 1),
    "mean intensity": slice(1, 2),  # mean pixel
    "digit logits": slice(2, 12),
    "principal components": slice(12, 15),
}
N_COMPONENTS = 3
LABELS = FUNCTIONALS["digit logits"]
MALA_SCALES = tuple(4.0**-i for i in range(7))
N_MIN = 20  # the jackknife's groups
N_MALA = 16  # chains


@dataclass(frozen=True)
class Mixing:
    """R̂, effective sample size and autocorrelation of low-dimensional functionals; mode switches; MALA acceptance.

    Raises:
        BadInput: a field out of its range.
        Unmeasurable: by `measure`, if there are too few chains, or they are not finite or all alike, or T = 0.
    """

    n: int = 64
    """Chains, half from noise and half from validation images, ≥ 20. Cost: n × (n_warmup + n_steps) image-steps."""
    n_steps: int = 1000
    """Steps of each chain that are measured."""
    every: int = 10
    """Steps from one recorded draw to the next; n_steps / every must be ≥ 8."""
    n_warmup: int | None = None
    """Steps before those that are measured; null for the recipe's own chain length."""
    n_cycles: int = 16
    """Cycles of an annealed_langevin kernel that are measured, ≥ 8: chains are then seen at the end of each."""
    n_mala: int = 10
    """MALA proposals at each of 7 step sizes, in float64, in each of 16 of the chains."""
    n_settle: int = 50
    """Unadjusted steps before them, for each step size."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.n_steps < 8 * self.every or self.n_mala < 1 or self.n_cycles < 8:
            raise BadInput("mixing: every and n_mala must be ≥ 1, n_steps ≥ 8 × every, n_cycles ≥ 8")

    @classmethod
    def quick(cls) -> Self:
        """Half of the chains, and fewer steps."""
        return cls(n=32, n_steps=150, every=5, n_warmup=128, n_cycles=8, n_mala=4, n_settle=25)

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        """Measure the model."""
        if self.every % cycle_of(context.kernel):
            return self._once_a_cycle(cycle_of(context.kernel)).measure(context, rng)
        if self.n < N_MIN:
            raise Unmeasurable(f"{self.n} chains are too few; take {N_MIN} or more")
        if context.kernel.temperature == 0:
            raise Unmeasurable("the kernel's temperature is 0: descent does not sample")
        draws = self._draws(context, rng)  # (n_draws, n, 1, 28, 28)
        components = fit_components(context.dataset.train.images.to(context.device))
        basis = components.basis[:, -N_COMPONENTS:].flip(1).float()
        values = _functionals(context.energy, load_feature_net(context.device), basis, draws)
        labels = values[:, :, LABELS].argmax(2)  # (n, n_draws)
        switches = (labels[:, 1:] != labels[:, :-1]).double().mean(1) * 100 / self.every
        shares = self._acceptance(context, draws[-1], rng)
        metrics = (
            *self._convergence(values),
            mean_metric("label changes per 100 steps", switches, note=f"seen every {self.every} steps"),
            *_acceptance(shares),
        )
        rho = torch.stack([autocorrelation(values[:, :, i]) for i in range(values.shape[2])])
        n_lags = rho.shape[1] // 2
        arrays = {
            "autocorrelation": rho[:, :n_lags],  # (15, n_lags)
            "lags": torch.arange(n_lags) * self.every,
            "traces": values[evenly_spaced(self.n, 16)].float(),  # (16, n_draws, 15)
            "labels": labels,
            "mala_scales": torch.tensor(MALA_SCALES),
            "mala_acceptance": shares.mean(1),
        }
        return SectionResult(
            metrics=metrics,
            arrays={name: array.cpu() for name, array in arrays.items()},
            method=self._method(context, len(draws), rng),
        )

    def _once_a_cycle(self, cycle: int) -> "Mixing":
        """The same measurement, looking at chains where they are samples: at the end of each cycle."""
        return replace(self, every=cycle, n_steps=max(self.n_cycles, self.n_steps // cycle) * cycle)

    def _draws(self, context: EvaluationContext, rng: Rng) -> Tensor:
        """Run the chains, and keep where they are every few steps, (n_draws, n, 1, 28, 28)."""
        images = context.dataset.validation.images
        n_data = self.n - self.n // 2
        if len(images) < n_data:
            raise Unmeasurable(f"{len(images)} validation images are too few to start {n_data} chains")
        order = rng.permutation(len(images))[:n_data].to(images.device)
        noise = uniform_noise(self.n // 2, tuple(images.shape[1:]), rng)
        x = torch.cat([noise, images[order].to(noise.device)])
        n_warmup = context.n_steps if self.n_warmup is None else self.n_warmup
        first, then = (context.steps(n_warmup + self.n_steps, before) for before in (0, n_warmup))
        x = run_chain(context.energy, context.kernel, x, n_warmup, rng=rng, progress=first).x
        kept = range(self.every, self.n_steps + 1, self.every)
        draws = run_chain(context.energy, context.kernel, x, self.n_steps, rng=rng, keep=kept, progress=then).trajectory
        assert draws is not None
        invalid = ~torch.isfinite(draws[-1]).flatten(1).all(1)
        if invalid.any():
            raise Unmeasurable(f"{int(invalid.sum())} of {self.n} chains hold NaN or infinite pixels")
        return boxed(context.kernel, draws)  # where the chains are, noise and all: it is they that mix or do not

    def _acceptance(self, context: EvaluationContext, ends: Tensor, rng: Rng) -> Tensor:
        """Return the share of MALA proposals accepted from where some of the chains ended, one row a step size."""
        return mala_acceptance(
            context.energy,
            context.kernel,
            ends[evenly_spaced(self.n, N_MALA)],
            rng=rng,
            n_steps=self.n_mala,
            n_settle=self.n_settle,
            scales=MALA_SCALES,
        )

    def _convergence(self, values: Tensor) -> list[Metric]:
        """Return R̂, both effective sample sizes and one autocorrelation for each group of functionals, at worst."""
        n_draws = values.shape[1]
        lag = min(max(1, 100 // self.every), n_draws // 2)
        total = f"of {self.n * n_draws:,} draws"
        statistics: tuple[tuple[str, Worst, Estimator, str], ...] = (
            ("R̂", max, rhat, ""),
            ("bulk ESS", min, ess_bulk, total),
            ("tail ESS", min, ess_tail, total),
            (f"autocorrelation at {lag * self.every} steps", max, lambda x: float(autocorrelation(x)[lag]), ""),
        )
        metrics = []
        for group, columns in FUNCTIONALS.items():
            rows = values[:, :, columns]
            for name, worst, estimator, unit in statistics:
                try:
                    metrics.append(_worst_metric(f"{group}: {name}", worst, estimator, rows, unit))
                except Unmeasurable as error:
                    raise Unmeasurable(f"{group}: {name}: {error}") from error
        return metrics

    def _method(self, context: EvaluationContext, n_draws: int, rng: Rng) -> str:
        n_warmup = context.n_steps if self.n_warmup is None else self.n_warmup
        return (
            f"{self.n // 2} chains from uniform noise and {self.n - self.n // 2} from validation images of "
            f"{context.dataset.name}, {n_warmup} steps of warm-up, then {self.n_steps} steps ({context.kernel}) with "
            f"{n_draws} draws recorded, one every {self.every} steps. Functionals: energy, mean intensity, ten digit "
            f"logits of this project's classifier, the first {N_COMPONENTS} principal components of the training "
            "images; each metric is the worst of its group. Rank-normalised split R̂, bulk and tail effective sample "
            "size and autocorrelation over all chains together (Vehtari et al. 2021), so that chains from noise and "
            "from data that disagree count as unmixed; above R̂ = 1.01 an effective sample size is no number of "
            "independent draws. A label that changes and changes back between two draws is not seen. MALA acceptance: "
            f"the share of {self.n_mala} proposals in each of {N_MALA} chains, from where they ended, at the kernel's "
            f"own temperature, step size and clip, in float64, once {self.n_settle} unadjusted steps a quarter as long "
            "have settled them; proposals are reflected at the walls of the box, because pixels at the clamp would "
            "have plain MALA refuse everything on the box, and take everything on the whole space, downhill and out. "
            "The step accepted half the time: the largest of the kernel's own times 4^-i, i = 0 to "
            f"{len(MALA_SCALES) - 1}, each measured from where the one before settled. Errors: delete-a-group "
            "jackknife over chains, 20 groups; of label changes and acceptance, one standard error. "
            f"Seed {rng.seed}."
        )


Worst = Callable[[list[float]], float]
Estimator = Callable[[Tensor], float]


def _functionals(energy: Energy, net: FeatureNet, basis: Tensor, draws: Tensor) -> Tensor:
    """Return the `FUNCTIONALS` of every draw, (n_draws, n, 1, 28, 28) -> (n, n_draws, 15), float64."""
    energy = frozen(energy)
    with torch.no_grad():
        rows = [
            torch.cat([energy(x)[:, None], x.flatten(1).mean(1, keepdim=True), net(x), x.flatten(1) @ basis], dim=1)
            for x in draws
        ]
    return torch.stack(rows, dim=1).double()


def _worst_metric(name: str, worst: Worst, estimator: Estimator, rows: Tensor, unit: str) -> Metric:
    def statistic(x: Tensor) -> float:
        return worst([estimator(x[:, :, i]) for i in range(x.shape[2])])

    error = jackknife(statistic, rows)
    return Metric(name, statistic(rows), error if math.isfinite(error) else None, unit)


def _acceptance(shares: Tensor) -> list[Metric]:
    """Return the acceptance at the kernel's own step size, and the largest step accepted half the time, if any is."""
    metrics = [mean_metric("MALA acceptance", shares[0], note="at the kernel's own step size")]
    half = [scale for scale, share in zip(MALA_SCALES, shares.mean(1), strict=True) if share >= 0.5]
    if half:
        metrics.append(Metric("MALA step accepted half the time", half[0], unit="× the kernel's step size"))
    return metrics
