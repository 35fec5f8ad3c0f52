"""evaluation.json: what comes back, and what of an earlier one is kept."""

import json
import math
from pathlib import Path

import pytest

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Metric
from ebmnist.evaluation.records import SectionRecord
from ebmnist.reporting.measurements import Measurements, merged, read_former, read_measurements
from ebmnist.reporting.measurements import write_measurements as write

MODEL = {"recipe": "mnist", "updates": 100, "checkpoint": "0123456789ab", "quick": False, "seed": 0}


def section(value: float, *, quick: bool = False, seed: int = 0) -> SectionRecord:
    return SectionRecord((Metric("a", value),), (), "how", 3.0, quick, seed, "c0ffee")


def whole(sections: dict[str, SectionRecord], failures: dict[str, str] | None = None, **model: object) -> Measurements:
    return Measurements({**MODEL, **model}, {"commit": "c0ffee"}, sections, failures or {})


def test_measurements_come_back(tmp_path: Path) -> None:
    metrics = (Metric("a", 1.5, None, "dB", "x"), Metric("b", float("inf"), 0.25), Metric("c", -math.inf))
    kept = whole({"s": SectionRecord(metrics, (), "how", 3.0, True, 7, "abc")}, {"t": "why"})
    assert read_measurements(write(tmp_path / "evaluation.json", kept)) == kept
    with pytest.raises(ValueError, match="NaN"):
        write(tmp_path / "x.json", whole({"s": section(math.nan)}))


def test_an_error_that_is_no_number_stays_none(tmp_path: Path) -> None:
    kept = whole({"s": SectionRecord((Metric("a", 1.0, math.nan),), (), "how", 3.0)})
    error = read_measurements(write(tmp_path / "evaluation.json", kept)).sections["s"].metrics[0].error
    assert error is not None
    assert math.isnan(error)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "sections": {"a": 3}}'])
def test_a_damaged_evaluation_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=r"evaluation\.json"):
        read_measurements(path)
    assert read_former(path, MODEL) is None


def test_sections_of_earlier_versions_were_measured_as_their_evaluation_says(tmp_path: Path) -> None:
    path = write(tmp_path / "evaluation.json", whole({"s": section(1.0)}, quick=True, seed=5))
    old = json.loads(path.read_text(encoding="utf-8"))
    for name in ("quick", "seed", "commit"):
        del old["sections"]["s"][name]
    del old["model"]["checkpoint"]
    path.write_text(json.dumps(old), encoding="utf-8")
    former = read_former(path, MODEL)
    assert former is not None
    assert former.sections["s"] == section(1.0, quick=True, seed=5)


def test_only_an_evaluation_of_the_same_checkpoint_is_a_former_one(tmp_path: Path) -> None:
    path = write(tmp_path / "evaluation.json", whole({"s": section(1.0)}))
    assert read_former(path, MODEL) == whole({"s": section(1.0)})
    for other in ({"recipe": "smoke"}, {"updates": 101}, {"checkpoint": "ba9876543210"}):
        assert read_former(path, MODEL | other) is None
    assert read_former(tmp_path / "none.json", MODEL) is None


def test_what_was_not_asked_for_again_is_kept_in_the_usual_order() -> None:
    former = whole({"fidelity": section(1.0), "ood": section(2.0)}, {"mixing": "mixing: why", "likelihood": "l: why"})
    new = whole(
        {"mixing": section(3.0, quick=True), "ood": section(4.0, quick=True)}, {"fidelity": "f: why"}, quick=True
    )
    both = merged(former, new)
    assert both.sections == {"mixing": section(3.0, quick=True), "ood": section(4.0, quick=True)}
    assert list(merged(whole({"ood": section(1.0)}), whole({"fidelity": section(1.0)})).sections) == ["fidelity", "ood"]
    assert both.failures == {"likelihood": "l: why", "fidelity": "f: why"}
    assert both.model["quick"] is True
    assert merged(whole({"ood": section(1.0, quick=True)}), whole({"fidelity": section(1.0)})).model["quick"] is True
    assert merged(None, new) is new
