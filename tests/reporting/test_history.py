"""The sessions in which a run was resumed."""

from pathlib import Path

import pytest
import torch

from ebmnist.errors import BadInput
from ebmnist.reporting.history import (
    Session,
    changes_between,
    check_changes,
    images_digest,
    in_words,
    read_history,
    record_session,
)


def test_sessions_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert read_history(path) == []
    changes = [{}, {"training.lr": [0.002, 0.001], "training.objective.max_gap": [None, 4.0]}]
    for step, changed in zip((250, 500), changes, strict=True):
        record_session(path, step, changed)
    sessions = read_history(path)
    assert [(s.step, s.changes) for s in sessions] == [(250, {}), (500, changes[1])]
    assert sessions[0].environment["torch"] == torch.__version__
    assert in_words(sessions[1]).endswith(", training.lr 0.002 → 0.001, training.objective.max_gap None → 4.0")


@pytest.mark.parametrize("line", ["{}", '{"step": 1}', '{"step": 1, "changes": [], "environment": {}}', "[]"])
def test_a_line_that_is_no_session_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(BadInput, match=r"^\S+history\.jsonl: line 1: [^\n]+; mend or delete that line"):
        read_history(path)


def test_changes_have_both_values_by_dotted_path() -> None:
    before = {"seed": 0, "energy": {"kind": "convnet", "width": 8}, "data": {"without": [1]}}
    after = {"seed": 0, "energy": {"kind": "mlp", "depth": 2}, "data": {"without": [1, 2]}}
    assert changes_between(before, after) == {
        "energy.kind": ["convnet", "mlp"],
        "energy.width": [8, None],
        "energy.depth": [None, 2],
        "data.without": [[1], [1, 2]],
    }
    assert changes_between(after, after) == {}


@pytest.mark.parametrize(
    "name", ["seed", "data.kind", "data.without", "energy.reference_precision", "training.start.size"]
)
def test_what_cannot_be_changed_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=rf"^--{name}: cannot be changed on resume: [^\n]+; leave it at 3, or [^\n]+$"):
        check_changes({"training.lr": [1, 2], name: [3, 4]})


def test_what_can_be_changed_is_not() -> None:
    names = (
        "name",
        "device",
        "data.root",
        "energy.precision",
        "training.lr",
        "training.start.corrupted_fraction",
        "seeds",
    )
    check_changes({name: [1, 2] for name in names})


def test_a_digest_tells_other_images_another_order_and_another_number(images: torch.Tensor) -> None:
    many = images.repeat(40, 1, 1, 1)[:2500].mul(255).round() / 255  # as bytes were
    assert images_digest((many * 255).round().byte()) == images_digest(many)
    digests = [images_digest(x) for x in (many, many.flip(0), many[:-1], 1 - many, many + 1e-6)]
    assert len(set(digests)) == 4
    assert digests[0] == digests[4]


def test_in_words_says_what_is_not_known() -> None:
    assert in_words(Session(3, {}, {"date": "today", "commit": None, "dirty": None})) == (
        "at update 3, today, commit unknown"
    )
    dirty = Session(3, {}, {"date": "today", "commit": "0123456789", "dirty": True})
    assert in_words(dirty) == "at update 3, today, commit 0123456 with changes"
