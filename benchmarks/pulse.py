"""Does training swing with a period of two updates? (docs/concepts/clamp-margin.md and regularisation.md)

Trains a recipe without its guard, and prints for every hundred updates: the slope of E along the contrast of 64
training images, u·∇E with u = x/‖x‖, its mean and its usual change from one update to the next; the autocorrelation
of the data's mean energy from one update to the next, −1 for a swing; the largest share of clipped gradient.

  python benchmarks/pulse.py mnist --updates 1500
  python benchmarks/pulse.py mnist --updates 1500 --sampling.clamp_margin 0                  walls
  python benchmarks/pulse.py mnist --updates 1500 --training.objective.energy_l2 0.02 Du & Mordatch's square
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean, median

import torch

from ebmnist.config import load_recipe
from ebmnist.energies import energy_and_grad
from ebmnist.training import fit
from paired import positive

WINDOW = 100  # updates to a row


def swing(values: Sequence[float]) -> float:
    """Autocorrelation at lag one, in [−1, 1]; NaN for values that are all alike."""
    centred = [v - mean(values) for v in values]
    power = sum(v * v for v in centred)
    return sum(a * b for a, b in pairwise(centred)) / power if power else float("nan")


def main() -> None:
    """Train, look at every update, print a row every hundred."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="name or .yaml file; any of its fields may follow as --section.field value")
    parser.add_argument(
        "--updates", type=positive, default=1500, help="default: 1500, its schedule's end left as it is"
    )
    args, overrides = parser.parse_known_args()
    recipe = load_recipe(args.recipe, ["--training.guard.enabled", "false", *overrides])
    state, images = recipe.make_state(), recipe.load_data().train.images
    x = images[:64]
    u = x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    rng = torch.Generator().manual_seed(0)
    noisy = x + state.training.data_noise * torch.randn(x.shape, generator=rng)
    slopes: list[float] = []
    energies: list[float] = []
    clipped: list[float] = []
    print("| updates | slope | usual change | E(x⁺), lag one | clipped |\n|---|---|---|---|---|")
    for record, _ in fit(state, images):
        slopes.append(float((energy_and_grad(state.energy, noisy)[1] * u).flatten(1).sum(1).mean()))
        energies.append(record.energy_pos)
        clipped.append(record.share_clipped)
        if record.step % WINDOW == 0:
            change = median(abs(b - a) for a, b in pairwise(slopes))
            print(
                f"| {record.step - WINDOW + 1}–{record.step} | {mean(slopes):+.3f} | {change:.3f} "
                f"| {swing(energies):+.2f} | {max(clipped):.4f} |",
                flush=True,
            )
            slopes, energies, clipped = [], [], []
        if record.step >= args.updates:
            return


if __name__ == "__main__":
    main()
