"""How high and how sharp is an energy where its chains are? E, and its Hessian's largest eigenvalue times h = ε²/2.

Above 2, steps overshoot.

  python benchmarks/curvature.py pretrained
  python benchmarks/curvature.py runs/mnist-best/checkpoints/step-00024000 --raw    the weights, not their average

At training images with Gaussian noise of several σ,
and where restarts from corrupted data begin (docs/concepts/corrupted-restarts.md); by power
iteration on finite differences of the gradient, in fp32.
"""

import argparse
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ebmnist.energies import Energy, energy_and_grad, frozen
from ebmnist.reporting import load_checkpoint
from ebmnist.sampling.start.noise import corrupted
from ebmnist.trained import load
from ebmnist.training.state import load_weights
from paired import positive

STEP = 0.02  # length of the difference, in pixels' norm


def sharpest(energy: Energy, x: Tensor, rng: torch.Generator, n_iterations: int) -> Tensor:
    """Largest |eigenvalue| of ∂²E/∂x² at each of x, (B, *shape) -> (B,)."""
    each = (-1, *[1] * (x.dim() - 1))
    v = torch.randn(x.shape, generator=rng)
    size = v.flatten(1).norm(dim=1)
    energy = frozen(energy)
    for _ in range(n_iterations):
        v = v / size.view(each)
        ahead, behind = (energy_and_grad(energy, x + sign * STEP * v)[1] for sign in (1, -1))
        v = (ahead - behind) / (2 * STEP)
        size = v.flatten(1).norm(dim=1)
    return size


def main() -> None:
    """Print means, medians and largest, a row for each kind of place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="run folder, checkpoint, or pretrained")
    parser.add_argument("--raw", action="store_true", help="the trained weights, not their average")
    parser.add_argument("--n", type=positive, default=64, help="images (default: 64)")
    parser.add_argument("--iterations", type=positive, default=60, help="of the power method (default: 60)")
    args = parser.parse_args()
    model = load(args.model)
    if args.raw:
        tensors = load_checkpoint(args.model).tensors
        load_weights(model.energy, {k[7:]: v for k, v in tensors.items() if k.startswith("energy.")})
    h = 0.5 * cast(Any, model.kernel).step_size ** 2
    images = model.recipe.load_data().train.images[: args.n]
    print("| at | E, mean | E, largest | hκ, median | hκ, largest |\n|---|---|---|---|---|")
    for sigma in (0.009, 0.05, 0.2, None):
        rng = torch.Generator().manual_seed(0)
        x = corrupted(images, rng) if sigma is None else images + sigma * torch.randn(images.shape, generator=rng)
        with torch.no_grad():
            e = model.energy(x)
        found = h * sharpest(model.energy, x, rng, args.iterations)
        cells = (e.mean(), e.max(), found.median(), found.max())
        place = "corrupted data" if sigma is None else f"σ = {sigma:g}"
        print(f"| {place} | {' | '.join(f'{float(v):.2f}' for v in cells)} |")


if __name__ == "__main__":
    main()
