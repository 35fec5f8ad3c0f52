import pytest
import torch

from ebmnist.energies import MLP
from ebmnist.errors import Unmeasurable
from ebmnist.inference.scoring import BATCH_SIZE, energies, energies_and_grads, p_values
from targets import Gaussian


def test_batches_are_the_whole() -> None:
    x = torch.rand(BATCH_SIZE + 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    value, grad = energies_and_grads(Gaussian(), x, "x")
    torch.testing.assert_close(value, 0.5 * x.square().flatten(1).sum(1))
    torch.testing.assert_close(grad, x)
    assert torch.equal(energies(Gaussian(), x, "x"), value)


def test_no_parameter_receives_a_gradient() -> None:
    energy = MLP(2, 4)
    value, grad = energies_and_grads(energy, torch.rand(5, 2), "x")
    assert not value.requires_grad
    assert not grad.requires_grad
    assert all(p.grad is None and p.requires_grad for p in energy.parameters())


def test_what_is_no_number_is_refused_by_name() -> None:
    x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 3.0]])
    with pytest.raises(Unmeasurable, match=r"^the energy of 1 of 3 images of noise is NaN or infinite$"):
        energies(lambda x: x[:, 0].log(), x, "noise")
    with pytest.raises(Unmeasurable, match="the energy of 1 of 3 images of noise, by its gradient, is NaN or infinite"):
        energies_and_grads(lambda x: x[:, 0].sqrt(), x, "noise")


def test_p_values_count_the_reference_above_and_ties() -> None:
    reference = torch.tensor([3.0, 1.0, 2.0, 2.0])
    p = p_values(torch.tensor([0.0, 2.0, 2.5, 3.0, 4.0]), reference)
    assert p.tolist() == [1.0, 4 / 5, 2 / 5, 2 / 5, 1 / 5]


def test_p_values_of_like_images_are_small_no_more_often_than_they_say() -> None:
    """P(p ≤ α) ≤ α, and equal to it where (M + 1)α is whole: 20,000 draws, M = 99, to four standard errors."""
    rng = torch.Generator().manual_seed(0)
    p = torch.cat([p_values(torch.randn(1, generator=rng), torch.randn(99, generator=rng)) for _ in range(20_000)])
    for alpha in (0.01, 0.05, 0.5):
        share = float((p <= alpha + 1e-12).double().mean())
        assert abs(share - alpha) < 4 * (alpha * (1 - alpha) / 20_000) ** 0.5
