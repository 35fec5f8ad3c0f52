"""Sweeps: the grid is checked first, every trial is done once by whoever is there, and failures are failures."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ebmnist import sweeping
from ebmnist.arguments import axis
from ebmnist.cli import main
from ebmnist.config import load_recipe
from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Metric
from ebmnist.events import Event, Events, TrialEnded
from ebmnist.reporting.study import Study, Trial
from ebmnist.reporting.sweep_tables import rows_of, table_of, to_csv
from ebmnist.sweeping import Sweep, sweep
from ebmnist.training import Diverged

GRID = {"training.lr": ["1e-3", "2e-3"]}
ASKED = Sweep(load_recipe("smoke"), GRID, n_seeds=2, n=256)
DISTANCES = {("1e-3", 0): 10.0, ("2e-3", 0): 20.0, ("1e-3", 1): 12.0}


def trials() -> list[Trial]:
    found = [Trial({"training.lr": lr}, seed, "t", d, 0.1) for (lr, seed), d in DISTANCES.items()]
    return [*found, Trial({"training.lr": "2e-3"}, 1, "t", failure="training diverged")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lr=1,2"], "--grid lr: name a field as section.field"),
        (["training.rate=1,2"], "unrecognized arguments: --training.rate=1"),
        (["training.lr=1e-3,high"], "training.lr: expected float, not high"),
        (["training.lr=1e-3,-1"], "training: lr must be"),
        (["training.lr=1e-3,0.001"], "training.lr=1e-3 and training.lr=0.001 are the same recipe"),
        (["training.lr=1e-3", "training.lr=2e-3"], "names a field twice"),
        (["training.lr=1e-3,2e-3", "--seeds", "501"], "1,002 trials; ask for at most 1,000"),
    ],
)
def test_a_bad_grid_is_one_line_before_anything_starts(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "smoke", "--out", str(tmp_path / "sweep"), "--grid", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert list(tmp_path.iterdir()) == []


def test_values_of_a_grid_are_parted_at_commas_outside_brackets() -> None:
    assert axis("training.lr=1e-3, 2e-3") == ("training.lr", ["1e-3", "2e-3"])
    assert axis("sampling.clamp=[0,1],null")[1] == ["[0,1]", "null"]


def test_without_optuna_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["sweep", "smoke", "--grid", "training.lr=1e-3"]) == 2
    assert capsys.readouterr().err == 'ebmnist: optuna is not installed: pip install "ebmnist[sweep]"\n'


def test_a_table_has_mean_and_standard_deviation_and_says_what_failed() -> None:
    one, other = rows_of(trials())
    assert one.figure == Metric("Fréchet distance", 11.0, 2.0**0.5)
    assert other.figure == Metric("Fréchet distance", 20.0, None)
    table = table_of(trials(), "About.")
    assert table.rows == (
        ("1e-3", "11 ± 1.4", "2 of 2", "–"),
        ("2e-3", "20", "1 of 2", "seed 1: training diverged"),
    )
    assert to_csv(trials()) == (
        f"training.lr,mean,sd,n,n_failed,seed_0,seed_1\n1e-3,11.0,{2.0**0.5},2,0,10.0,12.0\n2e-3,20.0,,1,1,20.0,\n"
    )


def take_and_die(folder: Path) -> None:
    """A process that takes a trial and is gone."""
    if (child := os.fork()) == 0:
        Study(folder, GRID, {}).take()
        os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_trial_is_taken_once_and_a_dead_process_gives_it_back(tmp_path: Path) -> None:
    study = Study(tmp_path, GRID, {"n": 1})
    study.add(range(2))
    other = Study(tmp_path, GRID, {"n": 1})
    other.add(range(2))
    assert [(trial.values["training.lr"], trial.seed) for trial in study.trials()] == [
        ("1e-3", 0),
        ("2e-3", 0),
        ("1e-3", 1),
        ("2e-3", 1),
    ]
    take_and_die(tmp_path)
    taken = [turn.take() for turn in (study, other, study, other)]
    names = [t.trial.name for t in taken if t is not None]
    assert sorted(names) == [f"trial-{i:04d}" for i in range(4)]  # the dead one's as well, last
    assert names[-1] == "trial-0000"
    assert study.take() is None
    assert study.n_running() == 4
    first, second, third, _ = taken
    assert first is not None
    assert second is not None
    assert third is not None
    study.finish(first, 3.0, 0.5)
    other.fail(second, "diverged")
    study.put_back(third)
    again = other.take()
    assert again is not None
    assert again.trial == third.trial
    shown = {trial.name: trial for trial in study.trials()}
    assert len(shown) == 4
    assert (shown["trial-0001"].distance, shown["trial-0001"].error) == (3.0, 0.5)
    assert (shown["trial-0002"].failure, shown["trial-0002"].is_done) == ("diverged", True)
    assert not shown["trial-0003"].is_done
    with pytest.raises(BadInput, match="holds a sweep with another n; choose another --out"):
        Study(tmp_path, GRID, {"n": 2})


def ended(events: list[Event]) -> list[str]:
    return [event.trial.failure or str(event.trial.distance) for event in events if isinstance(event, TrialEnded)]


def test_a_sweep_that_is_stopped_goes_on_and_a_diverged_trial_has_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[float, int]] = []

    def recorded(stop: BaseException | None) -> Callable[..., Events]:
        def train(recipe: object, _: Path) -> Events:
            key = (recipe.fields["training"]["lr"], recipe.basics.seed)  # type: ignore[attr-defined]
            trained.append(key)
            if len(trained) == 2 and stop is not None:
                raise stop
            if key == (2e-3, 1):
                raise Diverged("training diverged: 9 rollbacks were not enough. What was seen:\n  update 1: …")
            yield from ()

        return train

    monkeypatch.setattr(sweeping, "_measured", lambda run, n, _: Metric(run.name, float(n), 0.5))
    monkeypatch.setattr(sweeping, "_trained", recorded(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt, match="interrupted; 1 of 4 trials are done, and the same command goes on"):
        list(sweep(ASKED, tmp_path))
    monkeypatch.setattr(sweeping, "_trained", recorded(None))
    events = list(sweep(ASKED, tmp_path))
    assert ended(events) == ["256.0", "training diverged: 9 rollbacks were not enough", "256.0"]
    assert trained == [(1e-3, 0), (2e-3, 0), (1e-3, 1), (2e-3, 1), (2e-3, 0)]
    assert list(sweep(ASKED, tmp_path))[:-3] == []  # all is done, and only the table is written again
    table, whole = sweeping.result(ASKED, tmp_path)
    assert not whole
    assert [row[2] for row in table.rows] == ["2 of 2", "1 of 2"]
    assert {"sweep.md", "sweep.csv", "sweep.png", "study.db"} == {f.name for f in tmp_path.iterdir()}


def test_a_study_that_is_damaged_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("no database at all, and long enough to be read as one" * 40)
    with pytest.raises(BadInput, match=r"study.db: cannot be used \(DatabaseError.*; choose another --out"):
        Study(tmp_path, GRID, {})
