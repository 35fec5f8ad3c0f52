"""A trained energy used where its data are not, or are no more, and beside files that are damaged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from ebmnist import cli
from ebmnist.data import IDX, read_images
from ebmnist.errors import BadInput
from ebmnist.reporting.measurements import read_measurements
from ebmnist.reporting.tables import write_page
from ebmnist.trained import load
from fuzzing.corpus import make_corpus
from fuzzing.trials import seal


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "x"
    make_corpus(folder)
    return folder


@pytest.fixture
def mine(corpus, tmp_path):
    """A run, and its data moved to `there`."""
    shutil.copytree(corpus, tmp_path / "mine")
    return tmp_path / "mine"


def test_a_model_is_used_without_its_data_and_told_where_they_are_now(mine, corpus, tmp_path, monkeypatch, capsys):
    moved = (corpus / "data").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    try:
        model = load(mine / "run")
        assert model(torch.zeros(2, 1, 28, 28)).shape == (2,)
        assert cli.main(["info", str(mine / "run")]) == 0
        with pytest.raises(
            BadInput, match=r"no such folder; [^\n]+; if they were moved, say where they are with --data.root"
        ):
            model.recipe.load_data()
        words = ["denoise", "mine/run", "--sigma", "0.3", "--input", "mine/images/floats.npy", "--out", "clean.npy"]
        assert cli.main(words) == 2
        assert "--data.root" in capsys.readouterr().err
        assert cli.main([*words, "--data.root", "moved"]) == 0
        assert np.load("clean.npy").shape == (3, 1, 28, 28)
        assert len(load(mine / "run", data_root=moved).recipe.load_data().train.images) == 12
    finally:
        moved.rename(corpus / "data")


@pytest.mark.parametrize(
    ("name", "key"), [("env.json", "made"), ("events.jsonl", "guard"), ("evaluation.json", "left out")]
)
def test_info_goes_on_without_a_damaged_file_and_says_so(name, key, mine, capsys):
    (mine / "run" / name).write_text('{"a": NaN}\n', encoding="utf-8")
    assert cli.main(["info", str(mine / "run"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert name in str(facts[key])
    assert "damaged" in str(facts[key])
    assert facts["updates"] == "2 of 2"


@pytest.mark.parametrize(
    ("run_plots", "said"),
    [
        ("[", "damaged"),
        ('[{"title": 3}]', "is missing"),
        (
            '[{"title": "A", "words": "", "pictures": ["../../x.png"], "columns": [], "rows": []}]',
            "a picture&#x27;s name",
        ),
        ('[{"title": "A", "words": "", "pictures": ["gone.png"], "columns": [], "rows": []}]', "no such picture"),
        ('[{"title": "A", "words": "", "pictures": [], "columns": ["a"], "rows": [["b", "c"]]}]', "as many cells"),
    ],
)
def test_a_report_goes_on_without_its_pictures_and_says_so(run_plots, said, mine):
    measured = read_measurements(mine / "run" / "evaluation.json")
    of_these = run_plots.replace("}", f', "checkpoint": "{measured.model["checkpoint"]}"}}')
    (mine / "run" / "figures" / "plots.json").write_text(of_these, encoding="utf-8")
    page = write_page(mine / "run", measured, []).read_text(encoding="utf-8")
    assert "left out" in page
    assert said in page
    assert "Fréchet distance" in page


def test_weights_that_are_no_numbers_are_refused(mine):
    (checkpoint,) = (mine / "run" / "checkpoints").iterdir()
    tensors = safetensors.torch.load_file(checkpoint / "tensors.safetensors")
    name = next(name for name in tensors if name.startswith("ema."))
    safetensors.torch.save_file(tensors | {name: tensors[name] * torch.nan}, checkpoint / "tensors.safetensors")
    seal(checkpoint)
    with pytest.raises(BadInput, match=r"^\S+run: the weights '[^\n]+: not all of them are finite numbers"):
        load(mine / "run")


def test_a_page_is_written_of_a_former_versions_evaluation_without_pictures(mine):
    file = mine / "run" / "evaluation.json"
    fields = json.loads(file.read_text(encoding="utf-8"))
    del fields["model"]["checkpoint"]
    file.write_text(json.dumps(fields), encoding="utf-8")
    page = write_page(mine / "run", read_measurements(file), []).read_text(encoding="utf-8")
    assert "its pictures are of other weights" in page
    assert "12.5" in page


def test_a_tilde_is_the_home_folder(mine, monkeypatch):
    monkeypatch.setenv("HOME", str(mine))
    assert load("~/run").step == load(mine / "run").step
    assert torch.equal(read_images("~/images/floats.npy"), read_images(mine / "images" / "floats.npy"))
    assert torch.equal(IDX(Path("~/data"), 4).load().test.images, IDX(mine / "data", 4).load().test.images)
