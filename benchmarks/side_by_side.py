"""Two recipes trained for the same wall time: what do their samples look like, and how far are they from MNIST?

  python benchmarks/side_by_side.py [--minutes 5] [--recipes uva-t8 mnist]    trains both
  python benchmarks/side_by_side.py --runs runs/uva-t8 runs/mnist             takes two runs as they are

Writes docs/pictures/side-by-side.png and results/side_by_side.json. Fréchet distances are in the features of this
project's own digit classifier, against the 10,000 test images; nothing is chosen on them.
"""

import argparse
import json
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from rich.console import Console
from torch import Tensor, nn

from ebmnist.config import load_recipe
from ebmnist.data import MNIST
from ebmnist.evaluation.feature_metrics import FeatureMetrics, digit_histogram
from ebmnist.evaluation.feature_net import load_feature_net
from ebmnist.reporting.environment import describe_environment
from ebmnist.reporting.plots import save_panels
from ebmnist.sampling import sample
from ebmnist.sampling.base import Kernel
from ebmnist.trained import load
from ebmnist.training import TrainState, fit
from paired import RESULTS

COLOURS = ("#4d4d4d", "#cc3311")
N = 2000


def train_for(seconds: float, name: str, images: Tensor) -> TrainState:
    """Train a recipe until the time is up; its schedule is the one of its full length."""
    state = load_recipe(name).make_state()
    begin = time.monotonic()
    for _ in fit(state, images):
        if time.monotonic() - begin > seconds:
            break
    return state


class Contestant(NamedTuple):
    """A trained energy and how it is sampled."""

    name: str
    n_updates: int
    energy: nn.Module
    kernel: Kernel


def contestants(args: argparse.Namespace, images: Tensor) -> Iterator[Contestant]:
    """Two runs, or two recipes trained for as long."""
    for path in args.runs or ():
        model = load(path)
        yield Contestant(model.recipe.basics.name, model.step, model, model.kernel)
    for name in () if args.runs else args.recipes:
        state = train_for(60 * args.minutes, name, images)
        yield Contestant(name, state.step, state.ema, state.kernel)


def main() -> None:
    """Train, sample, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--recipes", nargs=2, default=["uva-t8", "mnist"])
    parser.add_argument("--runs", nargs=2, metavar="RUN")
    args = parser.parse_args()
    data = MNIST().load()
    feature_metrics = FeatureMetrics(load_feature_net(torch.device("cpu")), data.test.images)
    console, panels, rows = Console(), [], {}
    for (name, n_updates, energy, kernel), colour in zip(contestants(args, data.train.images), COLOURS, strict=True):
        rng = torch.Generator().manual_seed(0)
        x = sample(energy, N, rng=rng, kernel=kernel, n_steps=256)
        seen = feature_metrics.extract(x)
        rows[name] = {
            "updates": n_updates,
            "frechet_distance": feature_metrics.frechet_distance(seen),
            "digit_histogram": digit_histogram(seen.probabilities).tolist(),
        }
        panels.append((f"{name}: {n_updates:,} updates", colour, x[:100]))
        console.print(name, rows[name])
    minutes = None if args.runs else args.minutes
    subtitle = "256 Langevin steps from uniform noise, nothing picked out · seed 0"
    subtitle += f" · {minutes:g} minutes each on the same machine" if minutes else ""
    save_panels(
        panels,
        RESULTS.parent.parent / "docs/pictures/side-by-side.png",
        title="Trained for the same wall time" if minutes else "Two runs",
        subtitle=subtitle,
    )
    report = {
        "environment": describe_environment(),
        "minutes": minutes,
        "N": N,
        "recipes": rows,
    }
    (RESULTS / "side_by_side.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
