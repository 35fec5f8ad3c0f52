"""Rounds in, figures out: pairing, ratios, files."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from paired import Elsewhere, paired
from report import Sweep, Table, publish


def test_works_run_in_turn_after_their_warm_up():
    calls: list[str] = []
    works = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = paired(works, rounds=3, repeats=2, warmup=1)
    assert "".join(calls) == "ab" + 3 * "aabb"
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


def test_ratios_are_taken_round_by_round():
    """A machine that slows down threefold changes both, and the ratio not at all."""
    table = Table("t", {"first": [4.0, 12.0, 4.0], "ours": [2.0, 6.0, 2.0]})
    assert table.ratios("ours") == [2.0, 2.0, 2.0]
    assert table.rows()[1] == ("ours", "2", "2 – 6", "2.00 ×", "2 – 2")
    less = Table("t", {"first": [10.0], "ours": [5.0]}, "MB", "times the first's", over_first=True)
    assert less.ratios("ours") == [0.5]
    ahead = Table("t", {"peer": [9.0, 6.0], "ebmnist": [3.0, 3.0]}).ahead("ebmnist")
    assert ahead.rounds == {"than peer": [3.0, 2.0]}


def test_published_files_say_what_was_measured_and_that_it_was_a_trial(tmp_path, capsys):
    parts = [
        Table("bars", {"first": [4.0, 5.0], "ebmnist": [1.0, 2.0]}),
        Sweep(
            "lines", "chains", {"first": {32: [2.0, 2.0], 64: [4.0, 4.0]}, "ebmnist": {32: [1.0, 1.0], 64: [1.0, 1.0]}}
        ),
    ]
    publish("trial", "A trial", parts, out=tmp_path, notes=["Noted."], facts={"peer": "1.2"})
    text = (tmp_path / "trial.md").read_text(encoding="utf-8")
    assert "| ebmnist | 1.5 | 1 – 2 | 3.25 × | 2.5 – 4 |" in text
    assert "| 64 | 4 | 1 | 4.00 × | 4 – 4 |" in text
    assert "not to be quoted" in text
    assert "Noted." in text
    assert "- peer: 1.2" in text
    assert json.loads((tmp_path / "trial.json").read_text(encoding="utf-8"))["parts"][0]["rounds"]["first"] == [
        4.0,
        5.0,
    ]
    assert (tmp_path / "trial.png").stat().st_size > 5000
    assert "written" in capsys.readouterr().out


def test_a_work_elsewhere_runs_there_whenever_it_is_called(tmp_path):
    script = tmp_path / "there.py"
    here = Path(__file__).parents[2] / "benchmarks"
    script.write_text(
        f"import sys, pathlib; sys.path.append({str(here)!r})\n"
        "from paired import serve\n"
        "log = pathlib.Path(sys.argv[1]).open('a')\n"
        "serve(lambda: (log.write('run '), log.flush()))\n"
    )
    log = tmp_path / "log"
    with Elsewhere([str(script), str(log)], OMP_NUM_THREADS="1") as work:
        work()
        assert log.read_text() == "run "
        work()
    assert log.read_text() == "run run "


def test_a_work_elsewhere_that_ends_is_an_error():
    with Elsewhere(["-c", "pass"]) as work, pytest.raises((RuntimeError, BrokenPipeError)):
        work()
