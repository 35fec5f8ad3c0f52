"""The front door: each verb gives what the functions behind it give."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import ebmnist
from ebmnist import EBM, BadInput, ConvNet, Diverged, TrainState, fit
from ebmnist.energies.base import energy_and_grad
from ebmnist.inference.descent import choose_stop
from ebmnist.inference.operators import AveragePool
from ebmnist.random import Rng

SMALL = ["--training.n_updates", "3", "--training.batch_size", "8", "--training.n_steps", "2"]
SMALL += ["--training.start.size", "16", "--energy.width", "4"]


@pytest.fixture(scope="module")
def best() -> EBM:
    return EBM.from_pretrained("mnist-best")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def small() -> EBM:
    return EBM(recipe="mnist", overrides=SMALL)


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
    expected = (y - energy_and_grad(best.trained, y)[1] / 0.05).clamp(0, 1)
    torch.testing.assert_close(best.denoise(y, fast=True), expected)


def test_denoising_digits_gains_decibels_and_three_steps_more_than_one(best: EBM) -> None:
    digits = best.recipe.load_data()
    clean, reference = digits.test.images[:20], digits.validation.images[:20]
    noisy = clean + 0.2 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    cleaned = (noisy.clamp(0, 1), best.denoise(noisy, fast=True), best.denoise(noisy, 0.2, reference=reference))
    before, fast, slow = ((x - clean).square().mean() for x in cleaned)
    assert fast < before / 4
    assert slow < 0.95 * fast
    estimated = best.denoise(noisy, reference=reference)  # without being told σ
    assert (estimated - clean).square().mean() < 1.02 * slow


def test_one_temperature_denoises_by_descent(images: torch.Tensor) -> None:
    model = EBM(recipe="mnist-classic", overrides=["--energy.width", "4"])
    stop = choose_stop(model.trained, model.kernel, images[2:6], 0.1, rng=Rng(0))
    expected = ebmnist.denoise(model.trained, model.kernel, images[:2], stop.n_steps, rng=torch.Generator())
    assert torch.equal(model.denoise(images[:2], sigma=0.1, reference=images[2:6]), expected)
    for ask in (lambda: model.denoise(images[:2], reference=images[2:6]), lambda: model.denoise(images[:2], fast=True)):
        with pytest.raises(BadInput, match="trained at one temperature"):
            ask()


def test_restoring_gives_samples_of_what_was_measured(best: EBM) -> None:
    clean = best.recipe.load_data().test.images[:10]
    pool = AveragePool(2)
    x = best.restore(pool.forward(clean), pool, n_samples=3, seed=1)
    assert x.shape == (3, 10, 1, 28, 28)
    assert (pool.forward(x.flatten(0, 1)).view(3, 10, 1, 14, 14) - pool.forward(clean)).abs().mean() < 0.01
    linear = pool.forward(clean).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert (x.mean(0) - clean).square().mean() < (linear - clean).square().mean() / 4
    assert torch.equal(best.restore(pool.forward(clean), pool, n_samples=1, seed=1)[0], x[0])


def test_inpainting_keeps_what_is_known(best: EBM, images: torch.Tensor) -> None:
    mask = torch.zeros(1, 28, 28, dtype=torch.bool)
    mask[..., :14] = True
    filled = best.inpaint(images[:2], mask, seed=0)
    assert torch.equal(filled[..., :14], images[:2, ..., :14])
    assert not torch.equal(filled[..., 14:], images[:2, ..., 14:])
    assert 0 <= filled.min() <= filled.max() <= 1


def test_fit_trains_a_copy_and_uses_the_averaged_weights(images: torch.Tensor) -> None:
    mine = ConvNet(width=4)
    weights = [p.clone() for p in mine.parameters()]
    model = EBM(mine, overrides=SMALL)
    before = model.energy(images[:4])
    torch.testing.assert_close(before, copy.deepcopy(mine).eval()(images[:4]).detach())
    assert model.fit(images, progress=False) is model
    assert model.trained.step == 3
    assert not torch.equal(model.energy(images[:4]), before)
    assert model.sample(2, n_steps=128).shape == (2, 1, 28, 28)
    assert all(torch.equal(p, w) for p, w in zip(mine.parameters(), weights, strict=True))
    assert mine.training


def test_a_fit_is_that_of_its_seed_from_a_tensor_or_an_array(images: torch.Tensor) -> None:
    one = small().fit(images, seed=1, progress=False)
    same = small().fit(images.numpy(), seed=1, progress=False)
    other = small().fit(images, seed=2, progress=False)
    assert torch.equal(one.energy(images), same.energy(images))
    assert not torch.equal(one.energy(images), other.energy(images))
    assert small().fit(images, n_updates=2, progress=False).trained.step == 2


def test_ctrl_c_keeps_the_weights_so_far(images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(state: TrainState, x: torch.Tensor) -> Iterator[object]:
        yield next(fit(state, x))
        raise KeyboardInterrupt

    monkeypatch.setattr("ebmnist.ebm.fit", interrupted)
    model = small().fit(images, progress=False)
    monkeypatch.undo()
    assert model.trained.step == 1
    assert torch.equal(model.energy(images), small().fit(images, n_updates=1, progress=False).energy(images))


def test_a_diverged_fit_leaves_the_model_as_it_was(images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverged(state: TrainState, x: torch.Tensor) -> Iterator[object]:
        yield next(fit(state, x))
        raise Diverged("no action helped")

    model = small()
    before = model.energy(images)
    monkeypatch.setattr("ebmnist.ebm.fit", diverged)
    with pytest.raises(Diverged):
        model.fit(images, progress=False)
    assert torch.equal(model.energy(images), before)
    assert not any(p.requires_grad for p in model.trained.parameters())


def test_the_default_energy_and_recipe_belong_together(tmp_path: Path) -> None:
    model = EBM(ConvNet())
    assert model.kernel.curvature == pytest.approx(model.trained.energy.reference_precision)
    model.save_pretrained(tmp_path / "mine")


def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path, images: torch.Tensor) -> None:
    model = small().fit(images, progress=False)
    folder = model.save_pretrained(tmp_path / "mine")
    again = EBM.from_pretrained(folder)
    assert torch.equal(again.energy(images[:4]), model.energy(images[:4]))
    assert repr(again) == "EBM(mnist, 3 updates, AnnealedLangevin)"


def test_an_energy_that_its_recipe_does_not_build_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"builds another energy .*: EBM\(recipe=…\)$"):
        EBM(ConvNet(width=4)).save_pretrained(tmp_path / "mine")
    with pytest.raises(BadInput, match="an energy of other values"):
        EBM(ConvNet(width=4, reference_precision=0.0), overrides=SMALL).save_pretrained(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


BAD = {
    "bytes": lambda x: (255 * x).to(torch.uint8),
    "0 to 255": lambda x: 255 * x,
    "-1 to 1": lambda x: 2 * (x > 0.9).float() - 1,
    "no channel": lambda x: x[:, 0],
    "colours": lambda x: x.expand(-1, 3, -1, -1),
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD)
def test_what_are_no_images_is_refused_by_each(spoil: Callable, images: torch.Tensor) -> None:
    x, model, mask = spoil(images[:16]), small(), torch.ones(1, 28, 28, dtype=torch.bool)
    for use in (
        model.energy,
        model.score_samples,
        lambda x: model.denoise(x, 0.1),
        lambda x: model.inpaint(x, mask, n_steps=128),
        lambda x: model.fit(x, progress=False),
    ):
        with pytest.raises(BadInput) as caught:
            use(x)
        assert len(str(caught.value).splitlines()) == 1


def test_what_cannot_be_meant_is_refused(best: EBM, images: torch.Tensor) -> None:
    with pytest.raises(BadInput, match="sampler 'euler' is unknown: use ancestral, heun, dpm_solver or training"):
        best.sample(1, sampler="euler")
    with pytest.raises(BadInput, match="at least 8 steps"):
        best.sample(1, sampler="ancestral", n_steps=4)
    with pytest.raises(BadInput, match="one temperature"):
        EBM(recipe="mnist-classic").sample(1, sampler="ancestral")
    with pytest.raises(BadInput, match="a seed or a generator"):
        best.sample(1, seed=0, generator=torch.Generator())
    with pytest.raises(BadInput, match="sigma must be > 0"):
        best.denoise(images[:1], sigma=0.0)
    with pytest.raises(BadInput, match=r"the mask is torch\.float32; give a bool one"):
        best.inpaint(images[:1], torch.ones(1, 28, 28))
    with pytest.raises(BadInput, match="1 values are NaN"):
        small().fit(images.index_fill(0, torch.tensor(0), 0.5).where(images != images[1, 0, 0, 0], torch.nan))
    with pytest.raises(BadInput, match="n_updates must be ≥ 1"):
        small().fit(images, n_updates=0)
    with pytest.raises(BadInput, match="no parameters"):
        EBM(torch.nn.Flatten())
    with pytest.raises(BadInput, match="recipe 'nothing' not found"):
        EBM(recipe="nothing")
