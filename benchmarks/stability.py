"""How many runs end healthy? Recipe mnist as it is, and with 5 and 25 times its rate; with the guard and without.

Healthy: of the last 50 updates at most one in ten gives any of the guard's signals, all weights, averages and chains
are finite, and training did not give up. Both ways are judged by the same signals, whoever acts on them. Beside it the
Fréchet distance of 1,000 samples to the validation images, for what is healthy may still be poor.

  python benchmarks/stability.py --jobs 2                    10 seeds of 4,500 updates, 60 runs: two hours and more
  python benchmarks/stability.py --jobs 2 --resume           goes on where it was stopped
  python benchmarks/stability.py --jobs 2 --updates 1500     the first third of each
  python benchmarks/stability.py --times 100 --seeds 2 --out /tmp/harder      where does it break?
  python benchmarks/stability.py --updates 60 --seeds 1 --out /tmp/trial      a trial
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from ebmnist.config import load_recipe
from ebmnist.data import Dataset
from ebmnist.evaluation import Unmeasurable
from ebmnist.evaluation.feature_metrics import FeatureMetrics
from ebmnist.evaluation.feature_net import load_feature_net
from ebmnist.reporting.environment import describe_environment
from ebmnist.sampling import sample
from ebmnist.training import Diverged, TrainState, fit
from ebmnist.training.guard import Guard, GuardState
from ebmnist.training.instability import not_finite_in
from paired import RESULTS, positive
from seeds import each, summary

LAST = 50  # updates that decide
ALLOWED = 0.1  # share of them that may give a signal: a lone spike is the clip's to absorb


@dataclass(frozen=True)
class Run:
    """One training and how it ended."""

    stress: str
    guarded: bool
    seed: int
    healthy: bool
    end: str
    """In words."""
    interventions: int
    """Updates after which the guard lowered the rate, reinitialised chains or rolled back."""
    seconds: float
    commit: str | None = None
    """Of the code that trained it."""
    distance: float | None = None
    """Fréchet distance of 1,000 samples to the validation images, of a healthy run."""


def stress_of(times: float) -> str:
    """Say how many times the recipe's learning rate."""
    return "as it is" if times == 1 else f"learning rate × {times:g}"


def train(recipe_name: str, times: float, seed: int, n_updates: int, dataset: Dataset, *, guarded: bool) -> Run:
    """Train once at so many times the recipe's learning rate, and judge the end."""
    base = load_recipe(recipe_name)
    lr = base.make_training().lr * times
    fields = ["--seed", str(seed), "--training.n_updates", str(n_updates), "--training.lr", str(lr)]
    state = base.overridden([*fields, "--training.guard.enabled", str(guarded).lower()]).make_state()
    begin, judge, memory, acted = time.perf_counter(), Guard(), GuardState(), 0
    words: list[str] = []  # of each update, its first signal or nothing
    end = ""
    try:
        for record, decision in fit(state, dataset.train.images):
            seen, memory = judge.decide(record, memory)
            words.append(seen.signals[0] if seen.signals else "")
            acted += bool(decision.signals) and decision.action.name in ("LR_LOWERED", "REINITIALISED", "ROLLED_BACK")
    except Diverged as report:
        end = f"gave up: {str(report).splitlines()[-2].strip()}"
    broken = not_finite_in(state.snapshot().tensors)
    ill = [word for word in words[-LAST:] if word]
    if not end and broken:
        end = broken[0].words
    elif not end and len(ill) > ALLOWED * LAST:
        end = f"{len(ill)} of the last {LAST} updates: {ill[-1]}"
    seconds, commit = time.perf_counter() - begin, describe_environment()["commit"]
    distance = None
    if not end:
        try:
            distance = distance_of(state, base.generation.n_steps, dataset.validation.images)
        except Unmeasurable as error:
            end = str(error)
    return Run(stress_of(times), guarded, seed, not end, end or "healthy", acted, seconds, commit, distance)


def distance_of(state: TrainState, n_steps: int, validation: Tensor) -> float:
    """Return the Fréchet distance of 1,000 samples from noise to the validation images."""
    rng = torch.Generator().manual_seed(0)
    samples = sample(state.ema, 1000, rng=rng, kernel=state.kernel, n_steps=n_steps)
    feature_metrics = FeatureMetrics(load_feature_net(), validation)
    return feature_metrics.frechet_distance(feature_metrics.extract(samples))


def train_on_its_data(recipe_name: str, times: float, guarded: bool, seed: int, n_updates: int) -> Run:
    """`train`, as a process of its own can be told to."""
    return train(recipe_name, times, seed, n_updates, load_recipe(recipe_name).load_data(), guarded=guarded)


def table(runs: list[Run], recipe: str, n_updates: int) -> str:
    """Markdown: one row per stress and guard, and what the others died of."""
    lines = [
        "| " + recipe + " | guard | runs ending healthy | Fréchet distance | interventions a run | the others |",
        "|---|---|---|---|---|---|",
    ]
    for stress in dict.fromkeys(run.stress for run in runs):
        for guarded in (True, False):
            group = [run for run in runs if run.stress == stress and run.guarded == guarded]
            if not group:
                continue
            ends = "; ".join(f"seed {run.seed}: {run.end}" for run in group if not run.healthy)
            acted = f"{sum(run.interventions for run in group) / len(group):.1f}" if guarded else "–"
            healthy = f"{sum(run.healthy for run in group)} of {len(group)}"
            distances = [run.distance for run in group if run.distance is not None]
            mean, spread, _ = summary(distances)
            distance = f"{mean} ± {spread} ({len(distances)})" if distances else "–"
            guard = "on" if guarded else "off"
            lines.append(f"| {stress} | {guard} | {healthy} | {distance} | {acted} | {ends or '–'} |")
    lines += [
        "",
        f"{n_updates} updates a run; healthy: at most {ALLOWED:.0%} of the last {LAST} give a signal. Distances: of "
        "1,000 samples to the validation images, mean ± sd over the healthy runs (how many were measured).",
    ]
    if commits := dict.fromkeys(run.commit[:7] for run in runs if run.commit):
        lines += ["", f"Commit: {', '.join(commits)}."]
    return "\n".join(lines) + "\n"


def done(report: Path, recipe: str, n_updates: int) -> list[Run]:
    """Return the runs of an earlier report of this recipe and length.

    Raises:
        SystemExit: there is none, or it is of another.
    """
    if not report.exists():
        raise SystemExit(f"--resume: {report} is not there")
    content = json.loads(report.read_text(encoding="utf-8"))
    found = content["facts"]["recipe"], content["facts"]["updates"]
    if found != (recipe, n_updates):
        raise SystemExit(f"--resume: {report} has runs of {found[0]}, {found[1]} updates, not of {recipe}, {n_updates}")
    return [Run(**run) for run in content["runs"]]


def main() -> None:
    """Run them all, writing after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="mnist", help="recipe to train (default: mnist)")
    parser.add_argument("--updates", type=positive, default=4500, help="length of each run (default: 4500)")
    parser.add_argument("--seeds", type=positive, default=10, help="seeds of each kind (default: 10)")
    parser.add_argument(
        "--times", type=float, nargs="+", default=[1, 5, 25], help="times the learning rate (default: 1 5 25)"
    )
    parser.add_argument("--jobs", type=positive, default=1, help="runs at once (default: 1)")
    parser.add_argument("--resume", action="store_true", help="only the runs that the results in --out do not have yet")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    console, report = Console(stderr=True), args.out / "stability.json"
    runs = done(report, args.recipe, args.updates) if args.resume else []
    had = {(run.stress, run.guarded, run.seed) for run in runs}
    kinds = [(times, guarded, seed) for seed in range(args.seeds) for times in args.times for guarded in (True, False)]
    tasks = [(args.recipe, *kind, args.updates) for kind in kinds if (stress_of(kind[0]), kind[1], kind[2]) not in had]
    for run in each(train_on_its_data, tasks, jobs=args.jobs):
        runs.append(run)
        console.print(f"{run.stress}, guard {'on' if run.guarded else 'off'}, seed {run.seed}: {run.end}")
        facts = {"recipe": args.recipe, "updates": args.updates, "jobs": args.jobs} | describe_environment()
        content = {"facts": facts, "runs": [asdict(run) for run in runs]}
        report.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (args.out / "stability.md").write_text(
            "# Runs ending healthy\n\n" + table(runs, args.recipe, args.updates), encoding="utf-8"
        )
    print(table(runs, args.recipe, args.updates))


if __name__ == "__main__":
    main()
