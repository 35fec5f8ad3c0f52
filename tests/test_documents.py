"""What the documents show must run: the README's library examples, the notebook, and every link to a file."""

import importlib
import re
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from ebmnist import data, energies, evaluation, pipeline, sampling
from ebmnist.cli import main
from ebmnist.config import load_recipe
from ebmnist.training import objectives

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small trained run."""
    path = tmp_path_factory.mktemp("here") / "runs" / "mnist"
    fields = ["--training.n_updates", "10", "--training.n_steps", "2", "--evaluation.n_steps", "8"]
    for _ in pipeline.train(load_recipe("smoke", fields), path):
        pass
    return path


def test_the_readme_loads_samples_scores_and_cleans(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent.parent)
    scope: dict[str, torch.Tensor] = {}
    exec(BLOCKS[0], scope)
    assert scope["clean"].shape == (64, 1, 28, 28)


@pytest.mark.slow
def test_the_readme_ring_is_a_ring() -> None:
    scope: dict[str, torch.Tensor] = {}
    exec(BLOCKS[1], scope)
    radius = scope["x"].norm(dim=1)
    assert scope["x"].shape == (500, 2)
    assert (radius - 1).abs().median() < 0.1


ADDED = """
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ebmnist.data import MNIST
from ebmnist.data.base import Dataset, Split
from ebmnist.data.idx import read_folder
from ebmnist.energies.base import Energy, energy_and_grad
from ebmnist.energies.layers import normalised
from ebmnist.errors import BadInput
from ebmnist.evaluation import Metric, SectionResult, EvaluationContext, Unmeasurable
from ebmnist.random import Rng, StepRng
from ebmnist.sampling import ChainState, StepInfo, sample
from ebmnist.sampling.clipping import check_bounds, clip_grad
"""


@pytest.mark.slow
def test_what_contributing_adds_to_the_packages_can_be_run_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "added.py").write_text(ADDED + "\n\n".join(blocks), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    added = importlib.import_module("added")
    for registry, kind, name in (
        (energies.REGISTRY, "fields_of_experts", "FieldsOfExperts"),
        (sampling.REGISTRY, "improved_euler", "ImprovedEuler"),
        (objectives.REGISTRY, "hinge", "Hinge"),
        (data.REGISTRY, "binarised_mnist", "BinarisedMNIST"),
        (evaluation.REGISTRY, "intensity", "Intensity"),
    ):
        monkeypatch.setitem(registry, kind, getattr(added, name))
    (recipe,) = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "mnist-improved-euler.yaml").write_text(recipe, encoding="utf-8")
    recipe_file = str(tmp_path / "mnist-improved-euler.yaml")
    experts = load_recipe(recipe_file, ["--energy.kind", "fields_of_experts"]).make_energy()
    assert experts(torch.rand(3, 1, 28, 28)).shape == (3,)
    kinds = ["--energy.width", "4", "--data.kind", "binarised_mnist"]  # a network of convolutions is quicker
    kinds += ["--training.objective.kind", "hinge", "--training.start.size", "128"]
    short = ["--training.n_updates", "4", "--evaluation.n_steps", "4", "--evaluation.n_images", "10"]
    run = tmp_path / "run"
    for _ in pipeline.run(load_recipe(recipe_file, [*kinds, *short]), run):
        pass
    assert (run / "report.html").is_file()
    assert main(["evaluate", str(run), "--quick", "--only", "intensity"]) == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
def test_the_notebook_runs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBMNIST_RUN", str(run))
    book = nbformat.read(ROOT / "notebook.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(book, timeout=200, kernel_name="python3").execute()
    outputs = [o for cell in book.cells if cell.cell_type == "code" for o in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert [o for o in outputs if "image/png" in o.get("data", {})]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])  # the site checks its own
def test_every_link_to_a_file_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{name}: {target}"
