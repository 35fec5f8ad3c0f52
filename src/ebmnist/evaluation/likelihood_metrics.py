"""What the likelihood section says: metrics, baselines, and the assessment on a bracket too wide to mean a thing."""

import math

import torch
from torch import Tensor

from ebmnist.evaluation.base import Metric
from ebmnist.inference.bidirectional import Bracket
from ebmnist.inference.dequantisation import Dequantised, bits_per_dimension
from ebmnist.inference.gaussian_mixture import GaussianMixture, fit_gaussian_mixture
from ebmnist.inference.probit import images_to_y, minus_log_normal
from ebmnist.inference.temperature import Temperature

ESS_MIN = 5.0  # of either end; below, its jackknifed error is that of a chain or two, and no error


def assessment(bracket: Bracket, tolerance: float) -> str:
    """Return what is wrong with a bracket, empty where nothing is.

    Its width, either way, and two standard errors of it have to lie within `tolerance`, in nats, and both ends have to
    rest on `ESS_MIN` chains: on fewer, the error itself is not known.
    """
    width, error, said = bracket.width, bracket.error, []
    if not abs(width) + 2 * error <= tolerance:
        across = f"{abs(width):.0f} ± {error:.0f} nats"
        said.append(f"the ends of the bracket cross by {across}" if width < 0 else f"the bracket is {across} wide")
    if not min(bracket.lower.ess, bracket.upper.ess) >= ESS_MIN:
        said.append(f"the ends rest on {bracket.lower.ess:.1f} and {bracket.upper.ess:.1f} effective chains")
    return " and ".join(said)


def temperature_metric(fit: Temperature, sampler: float) -> Metric:
    """Return T̂ beside the temperature the recipe's sampler runs at."""
    note = f"fitted on validation; the recipe's sampler runs at T = {sampler:.3g}"
    return Metric("temperature", fit.value, fit.error, "energy", note)


def bracket_metrics(bracket: Bracket, scaled: Tensor, n_dims: int, tolerance: float) -> tuple[Metric, ...]:
    """Return both ends of log Z, of the test log-likelihood and of the bits per dimension, and the width.

    `scaled`, (N,), are the test images' E/T̂; the bracket is that of energies less their mean, so mean log p = −log Z.
    """
    lower, upper = bracket.lower, bracket.upper
    said = assessment(bracket, tolerance)
    shift, scatter = float(scaled.mean()), float(scaled.std()) / len(scaled) ** 0.5
    bits, nothing = n_dims * math.log(2), f"{said}: this says nothing" if said else ""
    # AIS's end is a bound whatever the other one does, so its note says what is left of it.
    alone = "wrong by b nats with probability below exp(−b)" + (f"; a bound, no estimate: {said}" if said else "")
    leaning = "as good as the starts of reverse AIS" + (f"; {nothing}" if said else "")
    metrics = [Metric("bracket width", bracket.width, bracket.error, "nats", nothing)]
    # A lower end of log Z is an upper end of the likelihood.
    for end, method, side, bits_side, note in (
        (lower, "AIS", "most", "least", alone),
        (upper, "reverse AIS", "least", "most", leaning),
    ):
        error = math.hypot(end.error, scatter)
        ess = f"effective sample size {end.ess:.1f} of {len(bracket.forward)}"
        metrics += [
            Metric(f"log Z, {method}", end.value - shift, end.error, "nats", f"{ess}; {nothing}" if said else ess),
            Metric(f"log-likelihood at {side}", -end.value, error, "nats", note),
            Metric(
                f"bits per dimension at {bits_side}",
                bits_per_dimension(-end.value, n_dims),
                error / bits,
                "bits",
                note,
            ),
        ]
    return tuple(metrics)


def baseline_metrics(data: Dequantised, density: GaussianMixture) -> tuple[Metric, ...]:
    """Return test log-likelihood and bits per dimension of uniform noise and of Gaussians, ridges by validation.

    `density` is the Gaussian in probit coordinates: on the box, log p(x) = log N(y; m, C) − log φ(y).
    """
    y = images_to_y(data.test)
    classes = fit_gaussian_mixture(data.train, data.labels)
    one, ten = (fit.with_best_ridge(data.validation) for fit in (classes.as_one(), classes))
    scores = {
        "uniform": torch.zeros(len(y), dtype=y.dtype),
        "Gaussian": one.log_density(data.test),
        "class Gaussians": ten.log_density(data.test),
        "probit Gaussian": density.log_density(y) + minus_log_normal(y),
    }
    metrics = []
    for name, log_p in scores.items():
        value, error = float(log_p.mean()), float(log_p.std()) / len(log_p) ** 0.5
        bits = bits_per_dimension(value, data.n_dims)
        metrics += [
            Metric(f"{name}: log-likelihood", value, error, "nats"),
            Metric(f"{name}: bits per dimension", bits, error / (data.n_dims * math.log(2)), "bits"),
        ]
    return tuple(metrics)
