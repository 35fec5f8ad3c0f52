"""The energies that come with the package: there at once, small, with origin and figures, and good for something."""

import json
from pathlib import Path

import pytest
import torch

import ebmnist
from ebmnist.cli import main
from ebmnist.data import CORRUPTIONS, MNIST, add_noise
from ebmnist.errors import BadInput
from ebmnist.inference.image_quality import psnr
from ebmnist.reporting import load_checkpoint
from ebmnist.reporting.checkpoint import PRETRAINED
from ebmnist.restoring import denoised
from ebmnist.trained import Trained


@pytest.fixture(scope="module")
def energy() -> Trained:
    return ebmnist.load("pretrained")


def test_it_is_small_and_says_where_it_comes_from() -> None:
    assert sum(f.stat().st_size for f in PRETRAINED.rglob("*") if f.is_file()) < 4e6
    facts = load_checkpoint(Path("pretrained")).facts
    assert facts["recipe"]["name"] == "mnist-best"
    assert facts["made"]["commit"]
    assert {"fidelity", "chain_length", "ood", "denoising"} <= facts["figures"]["sections"].keys()


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pretrained").mkdir()
    with pytest.raises(BadInput, match="no checkpoint in it"):
        ebmnist.load("pretrained")


def test_it_tells_digits_from_what_is_none_by_its_energy(energy: Trained, rng: torch.Generator) -> None:
    test = MNIST().load().test.images[:200]
    digits, grey = energy(test), torch.rand(200, 1, 1, 1, generator=rng).expand_as(test)
    odd = {name: CORRUPTIONS[name](test, rng) for name in ("inverted", "pixel_permuted", "half_size")}
    for name, outliers in (odd | {"grey": grey, "black": torch.zeros_like(test)}).items():
        above = (energy(outliers)[:, None] > digits).float().mean()  # AUROC
        assert above > 0.95, name


def test_it_tells_them_by_its_energy_at_noisy_images(energy: Trained, rng: torch.Generator) -> None:
    test = MNIST().load().test.images[:200]

    def warm(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([energy(add_noise(x, 0.3, rng)) for _ in range(16)]).mean(0)

    digits = warm(test)
    for name in ("inverted", "rot90", "pixel_permuted", "chimera"):
        above = (warm(CORRUPTIONS[name](test, rng))[:, None] > digits).float().mean()  # AUROC
        assert above > 0.9, name


def test_it_cleans(energy: Trained, rng: torch.Generator) -> None:
    clean = MNIST().load().test.images[:50]
    noisy = add_noise(clean, 0.3, rng)
    assert psnr(denoised(energy, noisy, 0.3, rng), clean).mean() > psnr(noisy, clean).mean() + 6


def test_the_command_line_knows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "pretrained", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == "mnist-best"
    assert main(["sample", "pretrained", "--n", "4", "--steps", "128", "--out", str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.png").stat().st_size > 0
