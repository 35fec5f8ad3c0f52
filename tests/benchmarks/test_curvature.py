"""benchmarks/curvature.py on an energy whose Hessian is known."""

import sys
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from curvature import sharpest


def test_the_largest_eigenvalue_of_a_quadratic_energy_is_found(rng):
    """E = ½Σ aᵢxᵢ² has the eigenvalues aᵢ at every point; the sign does not count."""
    eigenvalues = torch.tensor([0.1, -3.0, 0.5])
    x = torch.rand(4, 3, generator=rng)
    found = sharpest(lambda x: 0.5 * (eigenvalues * x.square()).sum(1), x, rng, 60)
    torch.testing.assert_close(found, torch.full((4,), 3.0), atol=1e-3, rtol=0)
