"""The front door: each verb gives what the functions behind it give."""

from pathlib import Path

import pytest
import torch

import ebmnist
from ebmnist import EBM, BadInput, ConvNet
from ebmnist.energies.base import energy_and_grad

SMALL = ["--training.n_updates", "3", "--training.batch_size", "8", "--training.n_steps", "2"]
SMALL += ["--training.start.size", "16", "--energy.width", "4"]


@pytest.fixture(scope="module")
def best() -> EBM:
    return EBM.from_pretrained("mnist-best")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def small() -> EBM:
    torch.manual_seed(0)
    return EBM(ConvNet(width=4, reference_precision=0.05), "mnist", SMALL)


def test_samples_are_those_of_the_function_and_of_the_seed(best: EBM) -> None:
    x = best.sample(3, seed=5, n_steps=128)
    assert x.shape == (3, 1, 28, 28)
    assert 0 <= x.min() < x.max() <= 1
    assert torch.equal(x[:2], best.sample(2, seed=5, n_steps=128))
    assert not torch.equal(x[:2], best.sample(2, seed=6, n_steps=128))
    energy, rng = ebmnist.load("pretrained"), torch.Generator().manual_seed(1)
    mine = best.sample(2, generator=torch.Generator().manual_seed(1), n_steps=128)
    assert torch.equal(mine, ebmnist.sample(energy, 2, rng=rng, n_steps=128))


def test_score_is_minus_the_energy(best: EBM, images: torch.Tensor) -> None:
    assert torch.equal(best.energy(images[:4]), ebmnist.load("pretrained")(images[:4]))
    assert torch.equal(best.score_samples(images[:4]), -best.energy(images[:4]))


def test_an_annealed_energy_denoises_by_one_gradient(best: EBM, images: torch.Tensor) -> None:
    y = images[:4]
    expected = (y - energy_and_grad(best.module, y)[1] / 0.05).clamp(0, 1)
    torch.testing.assert_close(best.denoise(y, sigma=0.3), expected)


def test_denoising_digits_gains_decibels(best: EBM) -> None:
    clean = best.recipe.load_data().test.images[:50]
    noisy = clean + 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    before, after = ((x.clamp(0, 1) - clean).square().mean() for x in (noisy, best.denoise(noisy, sigma=0.3)))
    assert after < before / 5


def test_one_temperature_denoises_by_descent(images: torch.Tensor) -> None:
    model = EBM(ConvNet(width=4), "mnist-classic")
    rng = torch.Generator()
    expected = ebmnist.denoise(model.module, model.kernel, images[:2], 5, rng=rng)
    assert torch.equal(model.denoise(images[:2], sigma=0.1, n_steps=5), expected)


def test_inpainting_keeps_what_is_known(best: EBM, images: torch.Tensor) -> None:
    mask = torch.zeros(1, 28, 28, dtype=torch.bool)
    mask[..., :14] = True
    filled = best.inpaint(images[:2], mask, n_steps=128, seed=0)
    assert torch.equal(filled[..., :14], images[:2, ..., :14])
    assert not torch.equal(filled[..., 14:], images[:2, ..., 14:])
    assert 0 <= filled.min() <= filled.max() <= 1


def test_fit_trains_and_uses_the_averaged_weights(images: torch.Tensor) -> None:
    model = small()
    before = model.energy(images[:4])
    assert model.fit(images, progress=False) is model
    assert model.n_updates == 3
    assert not torch.equal(model.energy(images[:4]), before)
    assert model.sample(2, n_steps=128).shape == (2, 1, 28, 28)
    assert torch.equal(model.energy(images[:4]), small().fit(images, progress=False).energy(images[:4]))


def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path, images: torch.Tensor) -> None:
    model = small().fit(images, progress=False)
    folder = model.save_pretrained(tmp_path / "mine")
    again = EBM.from_pretrained(folder)
    assert torch.equal(again.energy(images[:4]), model.energy(images[:4]))
    assert repr(again) == "EBM(mnist, 3 updates, AnnealedLangevin)"


def test_an_energy_that_its_recipe_does_not_build_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the recipe does not build this energy"):
        EBM(ConvNet(width=4)).save_pretrained(tmp_path / "mine")
    with pytest.raises(BadInput, match="other fields give other energies"):
        EBM(ConvNet(width=4), "mnist", SMALL).save_pretrained(tmp_path / "mine")  # of another reference_precision
    assert not (tmp_path / "mine").exists()


def test_what_cannot_be_meant_is_refused(best: EBM, images: torch.Tensor) -> None:
    with pytest.raises(BadInput, match="a seed or a generator"):
        best.sample(1, seed=0, generator=torch.Generator())
    with pytest.raises(BadInput, match="sigma must be > 0"):
        best.denoise(images[:1], sigma=0.0)
    with pytest.raises(BadInput, match="bool mask"):
        best.inpaint(images[:1], torch.ones(1, 28, 28))
    with pytest.raises(BadInput):
        small().fit(255 * images, progress=False)
    with pytest.raises(BadInput, match="nothing"):
        EBM(ConvNet(width=4), "nothing")
