"""What every linear operator must obey: it is linear, has its adjoint, and solves its normal equations."""

import dataclasses

import pytest
import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.inference.operators import REGISTRY, AveragePool, GaussianBlur, Identity, LinearOperator, Mask


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


OPERATORS: dict[str, list[LinearOperator]] = {
    "identity": [Identity()],
    "mask": [Mask(random(1, 8, 12) > 0), Mask(random(3, 1, 8, 12, seed=1) > 0)],
    "average_pool": [AveragePool(2), AveragePool(4)],
    "gaussian_blur": [GaussianBlur(0.5), GaussianBlur(2.0)],
}
EVERY = pytest.mark.parametrize("operator", [pytest.param(a, id=k) for k, many in OPERATORS.items() for a in many])
X = random(3, 1, 8, 12, seed=2)


def inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def test_every_registered_operator_is_tested() -> None:
    assert set(OPERATORS) == set(REGISTRY)
    for key, cls in REGISTRY.items():
        assert cls.__module__ == f"ebmnist.inference.operators.{key}"
        assert dataclasses.is_dataclass(cls)
        assert all(type(operator) is cls for operator in OPERATORS[key])


@EVERY
def test_the_adjoint_passes_the_dot_product_test(operator: LinearOperator) -> None:
    y = random(*operator.forward(X).shape, seed=3)
    torch.testing.assert_close(inner(operator.forward(X), y), inner(X, operator.adjoint(y)))


@EVERY
def test_it_is_linear(operator: LinearOperator) -> None:
    z = random(*X.shape, seed=4)
    torch.testing.assert_close(operator.forward(2 * X - z), 2 * operator.forward(X) - operator.forward(z))


@EVERY
@pytest.mark.parametrize(("scale", "shift"), [(0.0, 0.3), (2.0, 0.01)])
def test_solve_inverts_the_covariance_of_measurements(operator: LinearOperator, scale: float, shift: float) -> None:
    v = random(*operator.forward(X).shape, seed=5)
    found = operator.solve(v, scale, shift)
    torch.testing.assert_close(scale * operator.forward(operator.adjoint(found)) + shift * found, v)


@EVERY
def test_the_operator_of_some_rows_measures_these(operator: LinearOperator) -> None:
    rows = torch.tensor([2, 0])
    assert torch.equal(operator.of_rows(rows).forward(X[rows]), operator.forward(X)[rows])


def test_a_mask_does_not_read_what_it_hides() -> None:
    observed = random(1, 8, 12) > 0
    assert torch.equal(Mask(observed).forward(X.masked_fill(~observed, torch.nan)), Mask(observed).forward(X))


def test_average_pooling_gives_means_and_blur_keeps_what_is_far_from_the_border() -> None:
    assert AveragePool(2).forward(torch.arange(16.0).view(1, 1, 4, 4)).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    x = torch.ones(1, 1, 29, 29, dtype=torch.float64)
    assert float(GaussianBlur(1.5).forward(x)[0, 0, 14, 14]) == pytest.approx(1, abs=1e-6)
    assert float(GaussianBlur(1.5).forward(x)[0, 0, 0, 0]) < 0.5  # beyond the border it is black


def test_what_no_operator_is_costs_one_line() -> None:
    for make in (lambda: AveragePool(0), lambda: GaussianBlur(0.0), lambda: Mask(torch.ones(2, 2))):
        with pytest.raises(BadInput, match=r"must be|give a bool one"):
            make()
    with pytest.raises(BadInput, match="factor must divide the sides of the images, 8 × 12, not 5"):
        AveragePool(5).forward(X)
