"""The energies that come with the package: there at once, small, with origin and figures, and good for something."""

import json
from pathlib import Path

import pytest
import torch

import ebmnist
from ebmnist.artifacts import load_checkpoint
from ebmnist.artifacts.checkpoint import PRETRAINED
from ebmnist.cli import main
from ebmnist.data import CORRUPTIONS, MNIST, add_noise
from ebmnist.errors import BadInput
from ebmnist.evaluation.image_quality import psnr
from ebmnist.trained import Trained

SHIPPED = pytest.mark.parametrize(
    ("name", "recipe"), [("pretrained", "mnist-best"), ("pretrained-plain", "mnist-plain-long")]
)


@pytest.fixture(scope="module")
def energy() -> Trained:
    return ebmnist.load("pretrained")


def test_all_that_are_shipped_are_tested() -> None:
    assert set(PRETRAINED) == {"pretrained", "pretrained-plain"}


@SHIPPED
def test_it_is_small_and_says_where_it_comes_from(name: str, recipe: str) -> None:
    assert sum(f.stat().st_size for f in PRETRAINED[name].rglob("*") if f.is_file()) < 4e6
    facts = load_checkpoint(Path(name)).facts
    assert facts["recipe"]["name"] == recipe
    assert facts["made"]["commit"]
    assert {"fidelity", "chain_length", "ood", "denoising"} <= facts["figures"]["sections"].keys()


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pretrained").mkdir()
    with pytest.raises(BadInput, match="no checkpoint in it"):
        ebmnist.load("pretrained")


def test_the_plain_one_tells_digits_from_what_is_none_by_its_energy(rng: torch.Generator) -> None:
    energy, test = ebmnist.load("pretrained-plain"), MNIST().load().test.images[:200]
    digits, black = energy(test), torch.zeros_like(test)
    for name in ("inverted", "rot90", "pixel_permuted", "black"):
        outliers = black if name == "black" else CORRUPTIONS[name](test, rng)
        above = (energy(outliers)[:, None] > digits).float().mean()  # AUROC
        assert above > 0.9, name


def test_the_one_with_levels_tells_them_by_its_energy_at_noisy_images(energy: Trained, rng: torch.Generator) -> None:
    test = MNIST().load().test.images[:200]

    def warm(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([energy(add_noise(x, 0.3, rng)) for _ in range(16)]).mean(0)

    digits = warm(test)
    for name in ("inverted", "rot90", "pixel_permuted", "chimera"):
        above = (warm(CORRUPTIONS[name](test, rng))[:, None] > digits).float().mean()  # AUROC
        assert above > 0.9, name


@SHIPPED
def test_it_cleans(name: str, recipe: str, rng: torch.Generator) -> None:  # noqa: ARG001
    energy = ebmnist.load(name)
    clean = MNIST().load().test.images[:50]
    noisy = add_noise(clean, 0.3, rng)
    assert psnr(energy.denoise(noisy, 0.3, rng), clean).mean() > psnr(noisy, clean).mean() + 6


@SHIPPED
def test_the_command_line_knows_it(name: str, recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == recipe
    assert main(["sample", name, "--n", "4", "--steps", "128", "--out", str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.png").stat().st_size > 0
