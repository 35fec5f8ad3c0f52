import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.energies import MLP, ConvNet, ResNet
from ebmnist.energies.base import features_of
from ebmnist.inference.detector import SCORES, WEIGHTS, Detector, Scores, Standard, fit_detector
from ebmnist.sampling import AnnealedLangevin, Langevin


class Squares:
    """E = ½‖x‖², with the image itself, four pixels, as its hidden features."""

    def __call__(self, x: Tensor) -> Tensor:
        return 0.5 * x.flatten(1).square().sum(1)

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def split(n: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    images = 0.1 * torch.randn(n, 1, 2, 2, generator=generator)
    images[:, 0, 0, 0] += labels
    return Split(images, labels)


DATASET = Dataset("gaussians", split(2000, 0), split(500, 1), split(400, 2))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return fit_detector(Squares(), AnnealedLangevin(), DATASET)


def test_p_values_of_like_images_are_uniform_and_of_others_small(detector: Detector) -> None:
    values = detector.by_name(detector.scores(Squares(), DATASET.test.images, "test"))
    assert set(values) == set(detector.reference) == set(SCORES)
    for name, of_test in values.items():
        judged = detector.judged(name, of_test)
        for alpha in (0.05, 0.2, 0.5):
            flagged = float((judged.p_value <= alpha).double().mean())
            assert abs(flagged - alpha) < 4 * (alpha * (1 - alpha) * (1 / 400 + 1 / 500)) ** 0.5
        assert torch.allclose(judged.percentile / 100, 1 - judged.p_value, atol=0.005)
    outliers = DATASET.test.images.flip(-1)
    flipped = detector.by_name(detector.scores(Squares(), outliers, "flipped"))  # of the same energy
    torch.testing.assert_close(flipped["energy"], values["energy"])
    odd = detector.judged("combined", flipped["combined"]).p_value <= 0.05
    assert float(odd[DATASET.test.labels == 1].double().mean()) == 1


def test_the_combined_score_is_fisher_s_sum(detector: Detector) -> None:
    z = torch.linspace(-2, 3, 5, dtype=torch.float64)
    standard = {name: Standard(0.0, 1.0, weight) for name, weight in WEIGHTS.items()}
    found = detector._replace(standard=standard).combined(Scores(z, z, z, z, z, z))
    expected = 7 * -torch.log(0.5 * torch.erfc(z / 2**0.5))  # five scores, and the last twice
    torch.testing.assert_close(found, expected.float())


def test_a_constant_score_takes_no_part_and_a_kernel_without_levels_has_no_average() -> None:
    detector = fit_detector(lambda x: x.flatten(1).sum(1), Langevin(), DATASET)
    assert detector.standard["gradient_norm"].scale == 0
    scores = detector.scores(lambda x: x.flatten(1).sum(1), DATASET.test.images, "test")
    assert set(scores.present()) == {"energy", "gradient_norm"}
    assert torch.equal(detector.combined(scores).argsort(), scores.energy.argsort())


@pytest.mark.parametrize(
    "energy", [ConvNet(width=2), ConvNet(width=2, spectral_norm=True), MLP(784, 3), ResNet(width=2)]
)
def test_the_energy_is_read_off_its_hidden_features(energy: torch.nn.Module) -> None:
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []
    last = [m for m in energy.modules() if isinstance(m, torch.nn.SiLU)][-1]
    last.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
    energy.eval()(x)  # spectral normalisation takes no step then
    features = features_of(energy, x)
    assert features is not None
    torch.testing.assert_close(features, seen[0].flatten(1))
    assert features_of(lambda x: x, x) is None
