"""`ebmnist score` of many images: the same values, whatever they are kept in, chunk by chunk, also after a stop."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ebmnist.cli import main
from ebmnist.commands import scoring
from ebmnist.data import MNIST
from ebmnist.reporting.tar import TAR, tar_of
from ebmnist.trained import Trained, load

N = 7
WORDS = ["score", "pretrained", "--input"]


@pytest.fixture(scope="module")
def model() -> Trained:
    """Read once for all commands here."""
    return load("pretrained")


@pytest.fixture(autouse=True)
def _small_chunks_of_a_loaded_model(model: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "CHUNK", 3)
    monkeypatch.setattr(scoring, "load", lambda *_: model)


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    """The same images as an array, a .tar and a folder."""
    x = torch.cat([MNIST().load().test.images[: N - 1], torch.full((1, 1, 28, 28), 1.0)])
    paths = {name: tmp_path / name for name in ("x.npy", "x.tar", "folder, 1")}
    np.save(paths["x.npy"], x.numpy())
    tar = tar_of(x, 0) + TAR.footer
    paths["x.tar"].write_bytes(tar)
    paths["folder, 1"].mkdir()
    for i in range(N):
        member = tar_of(x[i : i + 1], i)
        (paths["folder, 1"] / f'{i}, "é".png').write_bytes(member[512:])  # zeros after the end of a .png do no harm
    return paths


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_the_same_values_from_whatever_the_images_are_kept_in(
    images: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = {}
    for name, path in images.items():
        out = tmp_path / "out.csv"
        assert main([*WORDS, str(path), "--out", str(out), "--force"]) == 0
        assert f"wrote {out}: 7 images" in capsys.readouterr().err
        tables[name] = rows_of(out.read_text())
    assert main([*WORDS, str(path)]) == 0
    assert capsys.readouterr().out == out.read_text()
    assert tables["x.npy"][N - 1]["outlier"] == "1"
    assert [row.pop("name") for row in tables["x.tar"]] == [f"{i:09d}.png" for i in range(N)]
    assert [row.pop("name") for row in tables["folder, 1"]] == [f'{i}, "é".png' for i in range(N)]
    assert tables["x.npy"] == tables["x.tar"] == tables["folder, 1"]
    assert main([*WORDS, str(images["x.npy"]), "--json"]) == 0
    objects = json.loads(capsys.readouterr().out)
    assert [{name: str(value) for name, value in row.items()} for row in objects] == [
        {name: cell for name, cell in row.items() if name != "index"} for row in tables["x.npy"]
    ]


def test_records_are_the_table_and_chunks_change_no_more_than_rounding(
    images: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for out in (tmp_path / "out.csv", tmp_path / "out.npy"):
        assert main([*WORDS, str(images["x.npy"]), "--out", str(out)]) == 0
    monkeypatch.setattr(scoring, "CHUNK", 100)
    assert main([*WORDS, str(images["x.npy"]), "--out", str(tmp_path / "whole.npy")]) == 0
    scores, whole = np.load(tmp_path / "out.npy", mmap_mode="r"), np.load(tmp_path / "whole.npy")
    rows = rows_of((tmp_path / "out.csv").read_text())
    for name in scores.dtype.names:
        assert scores[name].tolist() == [float(row[name]) for row in rows]
        assert scores[name].tolist() == pytest.approx(whole[name].tolist(), rel=1e-4, abs=1e-5)


def test_it_goes_on_after_a_stop_and_refuses_another_request(
    images: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, whole = tmp_path / "out.npy", tmp_path / "whole.npy"
    words = [*WORDS, str(images["folder, 1"]), "--out"]
    judged: list[range] = []
    judge = scoring._Judge.of

    def stopped(self: Any, images: Any, rows: range, name: str) -> Any:
        if len(judged) == 2:
            raise KeyboardInterrupt
        judged.append(rows)
        return judge(self, images, rows, name)

    with monkeypatch.context() as patch:
        patch.setattr(scoring._Judge, "of", stopped)
        assert main([*words, str(out)]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, str(out), "--score", "energy"]) == 2
    assert "begun with another score, 'combined' and not 'energy'" in capsys.readouterr().err
    picture = images["folder, 1"] / '0, "é".png'
    picture.rename(picture.with_name("z.png"))
    assert main([*words, str(out)]) == 2
    assert "begun with another input" in capsys.readouterr().err
    picture.with_name("z.png").rename(picture)
    assert main([*words, str(out)]) == 0
    assert "2 of 3 chunks are there" in capsys.readouterr().err
    assert main([*words, str(whole)]) == 0
    assert out.read_bytes() == whole.read_bytes()


def test_an_image_that_cannot_be_read_stops_it_and_is_mended(
    images: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = images["folder, 1"] / '5, "é".png', tmp_path / "out.csv"
    data = picture.read_bytes()
    picture.write_bytes(data[:60])
    words = [*WORDS, str(images["folder, 1"]), "--out", str(out)]
    assert main(words) == 2
    assert '5, "é".png: damaged .png file' in capsys.readouterr().err
    assert not out.exists()
    picture.write_bytes(data)
    assert main(words) == 0
    assert "1 of 3 chunks are there" in capsys.readouterr().err
    assert len(rows_of(out.read_text())) == N


def before(out: Path) -> None:
    out.write_text("mine")


@pytest.mark.parametrize(
    ("more", "prepare", "says"),
    [
        (["--out", "{out}.txt"], None, "use a name that ends in .csv, .npy"),
        (["--out", "{out}.csv", "--json"], None, "--json is for stdout"),
        (["--out", "{out}.csv"], before, "exists already; choose another name, or add --force"),
        (["--out", "{input}"], None, "is --input itself"),
    ],
)
def test_what_could_not_be_written_is_refused_before_the_work(
    more: list[str],
    prepare: Callable[[Path], None] | None,
    says: str,
    images: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if prepare is not None:
        prepare(tmp_path / "out.csv")
    filled = [word.format(out=tmp_path / "out", input=images["x.npy"]) for word in more]
    assert main([*WORDS, str(images["x.npy"]), *filled]) == 2
    assert says in capsys.readouterr().err
