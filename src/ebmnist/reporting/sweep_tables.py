"""What a sweep found, as a table: a row for each point of its grid, with mean and standard deviation over seeds."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from ebmnist.evaluation.base import Metric
from ebmnist.reporting.atomic import write_file
from ebmnist.reporting.measurements import words
from ebmnist.reporting.plots.sweep import Dots, save_sweep
from ebmnist.reporting.report import Part, to_markdown
from ebmnist.reporting.study import Trial

FIGURE = "Fréchet distance"


class Row(NamedTuple):
    """The trials of one point of the grid."""

    values: dict[str, str]  # fields of the recipe by dotted path
    trials: tuple[Trial, ...]  # one a seed

    @property
    def distances(self) -> list[float]:
        """Of the trials that have one."""
        return [trial.distance for trial in self.trials if trial.distance is not None]

    @property
    def failures(self) -> list[Trial]:
        """Trials that will have no distance."""
        return [trial for trial in self.trials if trial.failure is not None]

    @property
    def figure(self) -> Metric | None:
        """Mean over seeds, and their standard deviation if there are two; None without a distance."""
        d = self.distances
        return Metric(FIGURE, mean(d), stdev(d) if len(d) > 1 else None) if d else None


def rows_of(trials: Iterable[Trial]) -> list[Row]:
    """Return a row for each point of the grid, in the order they were asked for."""
    points: dict[tuple[tuple[str, str], ...], list[Trial]] = {}
    for trial in trials:
        points.setdefault(tuple(trial.values.items()), []).append(trial)
    return [Row(dict(point), tuple(sorted(group, key=lambda t: t.seed))) for point, group in points.items()]


def table_of(trials: Sequence[Trial], about: str) -> Part:
    """Return the table of a sweep, the lowest mean first; `about` says how each trial was made and measured."""
    rows = sorted(rows_of(trials), key=lambda row: (row.figure is None, row.figure.value if row.figure else 0.0))
    cells = [
        (
            *row.values.values(),
            words(row.figure) if row.figure else "–",
            f"{len(row.distances)} of {len(row.trials)}",
            "; ".join(f"seed {trial.seed}: {trial.failure}" for trial in row.failures) or "–",
        )
        for row in rows
    ]
    names = tuple(rows[0].values) if rows else ()
    said = f"{about} ± is the standard deviation over seeds; one seed has none."
    return Part("Sweep", said, (), (*names, FIGURE, "seeds measured", "failed"), tuple(cells))


def to_csv(trials: Sequence[Trial]) -> str:
    """Return a row for each point: mean, standard deviation, and each seed's distance; empty where there is none."""
    rows, text = rows_of(trials), io.StringIO()
    seeds = sorted({trial.seed for trial in trials})
    write = csv.writer(text, lineterminator="\n").writerow
    write([*(rows[0].values if rows else ()), "mean", "sd", "n", "n_failed", *(f"seed_{seed}" for seed in seeds)])
    for row in rows:
        figure, found = row.figure, {trial.seed: trial.distance for trial in row.trials}
        mean_and_sd = (figure.value, figure.error) if figure else (None, None)
        write(
            [
                *row.values.values(),
                *mean_and_sd,
                len(row.distances),
                len(row.failures),
                *(found.get(seed) for seed in seeds),
            ]
        )
    return text.getvalue()


def write_sweep(folder: Path, trials: Sequence[Trial], *, recipe: str, about: str) -> list[Path]:
    """Write sweep.md, sweep.csv and, once there is a figure, sweep.png; return their paths.

    Raises:
        BadInput: the disk refuses.
    """
    paths = [folder / "sweep.md", folder / "sweep.csv"]
    write_file(paths[0], to_markdown(table_of(trials, about)))
    write_file(paths[1], to_csv(trials))
    rows = rows_of(trials)
    if any(row.distances for row in rows):
        dots = [
            Dots(" · ".join(f"{name} {value}" for name, value in row.values.items()), row.distances, len(row.failures))
            for row in rows
        ]
        paths.append(save_sweep(dots, folder / "sweep.png", recipe=recipe))
    return paths
