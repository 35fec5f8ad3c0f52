"""What the documents show must run: the README's library examples, the notebook, and every link to a file."""

import re
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from ebmnist import pipeline
from ebmnist.recipe import load_recipe

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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
def test_the_notebook_runs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBMNIST_RUN", str(run))
    book = nbformat.read(ROOT / "notebook.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(book, timeout=200, kernel_name="python3").execute()
    outputs = [o for cell in book.cells if cell.cell_type == "code" for o in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert [o for o in outputs if "image/png" in o.get("data", {})]


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", *(f"docs/{n}" for n in ("theory.md", "architecture.md"))]
)
def test_every_link_to_a_file_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{name}: {target}"
