"""Likelihood: log p(x) of test images, from both sides, beside what Gaussians reach; or that nothing can be said."""

import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from ebmnist.energies.base import Energy
from ebmnist.energies.freezing import frozen
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, SectionResult, evenly_spaced
from ebmnist.evaluation.likelihood_metrics import assessment, baseline_metrics, bracket_metrics, temperature_metric
from ebmnist.inference.bidirectional import Bracket, bracket_log_z
from ebmnist.inference.dequantisation import Dequantised, dequantise
from ebmnist.inference.gaussian_mixture import fit_gaussian_mixture
from ebmnist.inference.probit import ProbitEnergy, images_to_y, probit_base, y_to_images
from ebmnist.inference.temperature import fit_temperature
from ebmnist.random import Rng

N_STEPS = 2  # MALA steps on each rung


@dataclass(frozen=True)
class Likelihood:
    """p(x) = exp(−E(x)/T̂)/Z on the unit box, with T̂ fitted and log Z bracketed by AIS and reverse AIS.

    Raises:
        BadInput: a field out of its range.
        Unmeasurable: by `measure`, if energies or weights are not finite, or no temperature fits.
    """

    n_rungs: int = 600
    """Densities between base and target, ≥ 2; the cost is 7 gradients of `n_chains` images for each."""
    n_chains: int = 32
    """Chains annealed each way, ≥ 20."""
    n_burn: int = 300
    """Steps at the target before annealing back, ≥ 0; a gradient of `n_chains` images each."""
    n_heating: int = 12
    """Steps on each of the 36 rungs of the temperature fit, ≥ 1; a gradient of `n_chains` images each."""
    n_fit: int = 55_000
    """Training images that the Gaussians are fitted to, ≥ 2."""
    n_test: int = 10_000
    """Test images that are scored, ≥ n_chains, and at most as many validation images that choose the ridges."""
    tolerance: float = 50.0
    """Nats: a bracket wider than this, two standard errors included, is called meaningless; so is one that rests on
    fewer than five chains. The Gaussian and the class Gaussians lie 570 apart."""

    def __post_init__(self) -> None:
        if min(self.n_rungs, self.n_fit) < 2 or min(self.n_burn, self.n_heating - 1) < 0:
            raise BadInput("likelihood: n_rungs and n_fit must be ≥ 2, n_heating ≥ 1, n_burn ≥ 0")
        if not 20 <= self.n_chains <= self.n_test or not self.tolerance > 0:
            raise BadInput("likelihood: n_chains must be ≥ 20 and at most n_test, and tolerance > 0")

    @classmethod
    def quick(cls) -> Self:
        """Sizes for a first look: seconds, and a wide bracket."""
        return cls(n_rungs=50, n_chains=20, n_burn=20, n_heating=5, n_fit=6000, n_test=1000)

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        """Measure the model."""
        data = self._dequantised(context, rng)
        density = fit_gaussian_mixture(images_to_y(data.train)).with_best_ridge(images_to_y(data.validation))
        base = probit_base(density)
        starts = images_to_y(data.validation[evenly_spaced(len(data.validation), self.n_chains)]).float()
        energy = frozen(in_float32(context.energy))
        fit = fit_temperature(energy, starts, data.shape, n_steps=self.n_heating, rng=rng)
        energies = _energies(energy, data.test.float().view(-1, *data.shape))
        target = ProbitEnergy(energy, data.shape, 1 / fit.value, float(energies.mean()))
        bracket = bracket_log_z(
            base,
            lambda v: target(base.to_y(v)),
            base.from_y(starts),
            n_rungs=self.n_rungs,
            n_steps=N_STEPS,
            n_burn=self.n_burn,
            rng=rng,
        )
        arrays = {
            "betas": fit.betas,
            "gaps": fit.gaps,
            "annealed": y_to_images(base.to_y(bracket.forward), data.shape),
            "starts": y_to_images(base.to_y(bracket.starts), data.shape),
        }
        return SectionResult(
            metrics=(
                temperature_metric(fit, context.kernel.temperature),
                *bracket_metrics(bracket, energies / fit.value, data.n_dims, self.tolerance),
            ),
            baselines=baseline_metrics(data, density),
            arrays={name: array.cpu() for name, array in arrays.items()},
            method=self._method(data, bracket, rng),
        )

    def _dequantised(self, context: EvaluationContext, rng: Rng) -> Dequantised:
        train, validation, test = context.dataset.train, context.dataset.validation, context.dataset.test
        if min(len(train.images), len(validation.images), len(test.images)) < self.n_chains:
            raise Unmeasurable(f"a split has fewer than {self.n_chains} images, one for each chain")
        kept = evenly_spaced(len(test.images), min(self.n_test, len(test.images)))
        chosen = evenly_spaced(len(validation.images), min(self.n_test, len(validation.images)))
        images = train.images[: self.n_fit], validation.images[chosen], test.images[kept]
        parts = [dequantise(part.to(context.device), rng) for part in images]
        labels = train.labels[: self.n_fit].to(context.device)
        return Dequantised(parts[0], labels, parts[1], parts[2], tuple(test.images.shape[1:]))

    def _method(self, data: Dequantised, bracket: Bracket, rng: Rng) -> str:
        said = assessment(bracket, self.tolerance)
        end = (
            f"The likelihood of this energy is not meaningful: {said}: this says nothing"
            if said
            else f"The bracket is {bracket.width:.1f} ± {bracket.error:.1f} nats wide, two standard errors of which "
            f"leave it within the tolerance of {self.tolerance:g}"
        )
        return (
            "Bytes are dequantised, x = (k + u)/256, and the model is p(x) = exp(−E(x)/T)/Z on the open unit box, the "
            "only place where the energy was learned; E is computed in float32. T is the likeliest for "
            f"{self.n_chains} validation images: there, chains heated from them ({self.n_heating} MALA steps on each "
            "of 36 temperatures) have the images' own mean energy. log Z at that T: annealed importance sampling "
            "(Neal 2001) in probit coordinates, x = Φ(y), which keep the support exact, from a full-covariance "
            f"Gaussian in y fitted to {len(data.train)} training images; {self.n_chains} chains each way over "
            f"{self.n_rungs} densities, {N_STEPS} exact MALA steps on each (acceptance {bracket.acceptance:.2f}; step "
            "sizes from a separate pilot). This end holds by itself: it is wrong by b nats with probability below "
            "exp(−b). Reverse AIS (Burda et al. 2015) starts at the "
            f"validation images after {self.n_burn} MALA steps at the target, and its end holds as far as those are "
            f"samples of the energy: where the ends cross, they are not. Scored on {len(data.test)} test images. "
            f"Ridges of the Gaussians chosen on {len(data.validation)} validation images; Gaussian and class Gaussians "
            "are densities on all of space, probit Gaussian (the base) and uniform on the box. "
            f"Seed {rng.seed}. {end}."
        )


def _energies(energy: Energy, images: Tensor, *, rows: int = 500) -> Tensor:
    """Return E of images (N, *shape), (N,) float64, `rows` at a time. Raises `Unmeasurable` if one is not finite."""
    with torch.no_grad():
        values = torch.cat([energy(images[i : i + rows]) for i in range(0, len(images), rows)]).double()
    if not values.isfinite().all():
        raise Unmeasurable(f"{int((~values.isfinite()).sum())} of {len(values)} test images have no finite energy")
    return values


def in_float32(energy: Energy) -> Energy:
    """Return the energy, or a copy of it that computes in float32.

    At T = 3e-4, bfloat16's error of 6e-4 in E would be two nats in log p, and no smooth function of x.
    """
    if not isinstance(energy, nn.Module):
        return energy
    exact = copy.deepcopy(energy)
    for module in exact.modules():
        if hasattr(module, "precision"):
            vars(module)["precision"] = "fp32"
    return exact
