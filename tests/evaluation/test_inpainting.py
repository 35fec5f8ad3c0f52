import pytest
import torch
from torch import Tensor, nn

from ebmnist.data.base import Dataset, Split
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, SectionResult
from ebmnist.evaluation.inpainting import Inpainting, masks
from ebmnist.inference.inpainting import Fill, choose_fill, inpaint
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
from ebmnist.sampling.langevin import Langevin
from targets import assert_moments

SHAPE = (1, 2, 2)
OBSERVED = torch.tensor([True, False, True, False]).view(SHAPE)
PRECISION = torch.tensor([[2.0, 0.5, 0.0, 0.3], [0.5, 2.0, 0.4, 0.0], [0.0, 0.4, 2.0, 0.6], [0.3, 0.0, 0.6, 2.0]])


def correlated(x: Tensor) -> Tensor:
    """½ xᵀPx: the hidden pixels given the others are N(−P_hh⁻¹ P_ho x_o, P_hh⁻¹), and P_hh = 2 I."""
    flat = x.flatten(1)
    return 0.5 * ((flat @ PRECISION) * flat).sum(1)


def conditional_mean(y: Tensor) -> Tensor:
    return -0.5 * y.flatten(1)[:, [0, 2]] @ PRECISION[[0, 2]][:, [1, 3]]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def kernel(h: float, temperature: float = 0.0) -> Langevin:
    return Langevin(step_size=(2 * h) ** 0.5, temperature=temperature, clip=None, clamp=None)


def test_descent_ends_at_the_conditional_mean_and_keeps_what_is_observed() -> None:
    y = torch.randn(7, *SHAPE, generator=rng(1))
    (x,) = inpaint(correlated, kernel(0.4), y, OBSERVED, 40, rng=rng())
    torch.testing.assert_close(x.flatten(1)[:, [1, 3]], conditional_mean(y))
    assert torch.equal(x[:, OBSERVED], y[:, OBSERVED])


def test_langevin_samples_the_conditional() -> None:
    y = torch.randn(1, *SHAPE, generator=rng(1)).expand(4000, *SHAPE)
    h = 0.1
    (x,) = inpaint(correlated, kernel(h, 1.0), y, OBSERVED, 60, rng=rng())
    assert torch.equal(x[:, OBSERVED], y[:, OBSERVED])
    # Of E = λu²/2, unadjusted Langevin has variance 1/(λ(1 − hλ/2)); λ = 2.
    centred = x.flatten(1)[:, [1, 3]] - conditional_mean(y)
    assert_moments(centred, 0.0, 1 / (2 * (1 - h)))


def test_an_energy_of_all_noise_levels_fills_by_restoring() -> None:
    """Images of one grey level each, D(x) = mean x: the observed half says which, and hidden pixels are not read."""
    kernel = AnnealedLangevin(sigma_max=1.0)

    def grey(x: Tensor) -> Tensor:
        return 0.5 * kernel.curvature * (x - x.mean((1, 2, 3), keepdim=True)).square().flatten(1).sum(1)

    y = torch.linspace(0, 1, 20).view(-1, 1, 1, 1).expand(20, 1, 4, 4)
    observed = torch.arange(16).view(1, 4, 4) < 8
    x = inpaint(grey, kernel, y.masked_fill(~observed, torch.nan), observed, 25, rng=rng(), n_samples=2)
    assert x.shape == (2, 20, 1, 4, 4)
    assert torch.equal(x[..., observed], y[:, observed].expand(2, 20, 8))
    assert float((x - y).abs().max()) < 0.05


def test_several_fillings_are_chains_of_their_own() -> None:
    y = torch.randn(3, *SHAPE, generator=rng(1))
    x = inpaint(correlated, kernel(0.1, 1.0), y, OBSERVED, 5, rng=rng(), n_samples=2)
    assert torch.equal(x[..., OBSERVED.expand(SHAPE)], y[:, OBSERVED].expand(2, 3, 2))
    assert not torch.equal(x[0], x[1])


def test_hidden_pixels_are_never_read() -> None:
    y = torch.randn(5, *SHAPE, generator=rng(1))
    blind = y.masked_fill(~OBSERVED, torch.nan)
    one, other = (inpaint(correlated, kernel(0.1, 1.0), z, OBSERVED, 5, rng=rng()) for z in (y, blind))
    assert torch.equal(one, other)


def test_masks_may_differ_between_images() -> None:
    y = torch.randn(2, *SHAPE, generator=rng(1))
    observed = torch.stack([OBSERVED, ~OBSERVED])
    (x,) = inpaint(correlated, kernel(0.4), y, observed, 40, rng=rng())
    assert torch.equal(x[observed], y[observed])
    torch.testing.assert_close(x[:1], inpaint(correlated, kernel(0.4), y[:1], OBSERVED, 40, rng=rng())[0])


def test_chains_start_where_they_are_told() -> None:
    y = torch.zeros(3, *SHAPE)
    (told,) = inpaint(correlated, kernel(0.1), y, OBSERVED, 0, rng=rng(), start=torch.full(SHAPE, 0.7))
    assert torch.equal(told, torch.where(OBSERVED, 0.0, 0.7).expand_as(y))
    noise = inpaint(correlated, kernel(0.1), y, OBSERVED, 0, rng=rng())[0][:, ~OBSERVED]
    assert len(noise.unique()) == 6
    assert 0 <= float(noise.min()) <= float(noise.max()) <= 1


def test_weights_are_frozen_on_the_way() -> None:
    modes: set[bool] = set()

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            modes.add(self.training or self.weight.requires_grad)
            return self.weight * correlated(x)

    energy = Watched()
    inpaint(energy, kernel(0.1), torch.zeros(3, *SHAPE), OBSERVED, 2, rng=rng())
    assert modes == {False}
    assert energy.training
    assert energy.weight.grad is None


def test_a_mask_of_numbers_is_refused() -> None:
    with pytest.raises(BadInput, match=r"inpaint: the mask is torch\.float32; give a bool one"):
        inpaint(correlated, kernel(0.1), torch.zeros(1, *SHAPE), OBSERVED.float(), 1, rng=rng())


def test_choose_fill_finds_start_and_length() -> None:
    def to_black(x: Tensor) -> Tensor:
        return 0.5 * x.square().flatten(1).sum(1)

    # From the mean ½ with h = ½, four steps end at 1/32.
    clean = torch.where(OBSERVED, 0.9, 1 / 32).expand(6, *SHAPE)
    mean = torch.full(SHAPE, 0.5)
    fill = choose_fill(to_black, kernel(0.5), clean, OBSERVED, mean, rng=rng(), lengths=(8, 2, 4), n_chains=2)
    assert fill == Fill("mean", 4)


def test_choose_fill_refuses_an_energy_of_nan() -> None:
    clean, mean = torch.zeros(3, *SHAPE), torch.zeros(SHAPE)
    with pytest.raises(Unmeasurable, match="NaN pixels at every length"):
        choose_fill(lambda x: torch.nan * correlated(x), kernel(0.1), clean, OBSERVED, mean, rng=rng(), lengths=(1, 2))


def test_masks_hide_half() -> None:
    found = masks((1, 28, 28), rng())
    assert [int((~observed).sum()) for observed in found.values()] == [392] * 3
    assert found["right half"][..., :14].all()
    assert found["lower half"][:, :14].all()
    assert 0.3 < float(found["random pixels"][:, :14].float().mean()) < 0.7


# Images ½ + z + ξ: a grey level z ~ N(0, 0.1²) of the image's own, and noise ξ ~ N(0, 0.05²) of each pixel.
LEVEL, NOISE = 0.1**2, 0.05**2


def split(n: int, seed: int) -> Split:
    level, noise = torch.randn(n, 1, 1, 1, generator=rng(seed)), torch.randn(n, 1, 28, 28, generator=rng(seed + 1))
    return Split((0.5 + 0.1 * level + 0.05 * noise).clamp(0, 1), torch.arange(n) % 10)


def grey_levels(x: Tensor) -> Tensor:
    """The energy of such images: their precision is (I − LEVEL/(NOISE + 784·LEVEL)·11ᵀ)/NOISE."""
    centred = x.flatten(1) - 0.5
    return 0.5 * (centred.square().sum(1) - centred.sum(1).square() * LEVEL / (NOISE + 784 * LEVEL)) / NOISE


SMALL = Inpainting(n=40, n_validation=10, n_chains=4, lengths=(1, 30))
DATASET = Dataset("grey", split(3000, 1), split(10, 3), split(40, 5))


def context(energy: object = grey_levels) -> EvaluationContext:
    descent = Langevin(step_size=(2 * NOISE) ** 0.5, temperature=0.0, clip=None)
    return EvaluationContext(energy, descent, 1, DATASET, torch.device("cpu"))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured() -> SectionResult:
    return SMALL.measure(context(), rng())


def test_with_the_true_energy_descent_fills_as_well_as_can_be(measured: SectionResult) -> None:
    # The level is known to 0.05/√392 from the observed half, so what is left is ξ: 26.02 dB.
    found = {metric.name: metric.value for metric in (*measured.metrics, *measured.baselines)}
    for mask in ("right half", "lower half", "random pixels"):
        for name in ("one chain", "chains averaged"):
            assert found[f"{name}, {mask}: PSNR"] == pytest.approx(26.0, abs=0.1)
        assert 25 < found[f"linear regression, {mask}: PSNR"] < 26.1  # 392 × 392 weights from 3000 images
        assert found[f"mean image, {mask}: PSNR"] < 24


def test_pictures_keep_the_observed_pixels(measured: SectionResult) -> None:
    assert len(measured.arrays) == 1 + 3 * 4
    clean = measured.arrays["clean"]
    for name in ("masked", "one chain", "chains averaged", "linear regression"):
        picture = measured.arrays[f"{name}, right half"]
        assert picture.shape == (10, 1, 28, 28)
        assert torch.equal(picture[..., :14], clean[..., :14])
        assert not torch.equal(picture[..., 14:], clean[..., 14:])


def test_what_was_chosen_is_said(measured: SectionResult) -> None:
    assert all(metric.note.startswith("30 steps from") for metric in measured.metrics)
    assert all(metric.error is not None and metric.error > 0 for metric in measured.metrics)


def test_what_cannot_be_measured_is_said_in_one_line() -> None:
    with pytest.raises(Unmeasurable, match=r"^.*NaN pixels at every length") as caught:
        SMALL.measure(context(lambda x: torch.nan * grey_levels(x)), rng())
    assert "\n" not in str(caught.value)
    few = context()._replace(dataset=DATASET._replace(test=split(3, 7)))
    with pytest.raises(Unmeasurable, match="3 test images are too few"):
        SMALL.measure(few, rng())


@pytest.mark.parametrize("fields", [{"n": 1}, {"n_chains": 0}, {"lengths": ()}, {"lengths": (0, 5)}])
def test_sizes_out_of_range_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="inpainting: "):
        Inpainting(**fields)  # type: ignore[arg-type]
