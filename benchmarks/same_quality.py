"""Does the fast path cost quality? Recipe mnist trained by the C++, and by PyTorch in fp32: same seeds, same updates.

Each run is a process of its own; the PyTorch ones have EBMNIST_NATIVE=0 and --energy.precision fp32. Quality is the
Fréchet distance of samples from noise, drawn by the path that trained, to the 5,000 validation images. A seed alone
moves it, so its spread over the seeds stands beside it, and what the paths differ by is taken seed by seed.

  python benchmarks/same_quality.py                   3 seeds of each, 500 updates: ten minutes on two cores
  python benchmarks/same_quality.py --updates 4500    the whole recipe: about an hour
  python benchmarks/same_quality.py --updates 20 --seeds 1 --n 256 --steps 128 --out /tmp/trial    a trial
"""

import argparse
import inspect
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import torch

from ebmnist.config import load_recipe
from ebmnist.evaluation import Unmeasurable
from ebmnist.evaluation.feature_metrics import FeatureMetrics
from ebmnist.evaluation.feature_net import load_feature_net
from ebmnist.native import bf16_is_fast, library
from ebmnist.reporting.environment import describe_environment
from ebmnist.sampling import sample
from ebmnist.training import Diverged, fit
from paired import RESULTS, positive
from seeds import summary

NATIVE, TORCH = "C++, precision auto", "PyTorch, fp32"
PATHS = {NATIVE: ({}, "auto"), TORCH: ({"EBMNIST_NATIVE": "0"}, "fp32")}
ENOUGH = 3  # seeds below which nothing is to be claimed


@dataclass(frozen=True)
class Run:
    """One training, and what its samples measure."""

    seed: int
    distance: float | None
    """Fréchet distance to the validation images; None where there is none to be had."""
    seconds: float
    """Of the training alone."""
    failure: str | None = None
    """Why there is no distance."""


Runs = dict[str, list[Run]]  # path -> its runs, in the order of the seeds


def measure(seed: int, precision: str, args: argparse.Namespace) -> Run:
    """Train and sample in this process; a training that diverges is a result too."""
    fields = ["--seed", str(seed), "--training.n_updates", str(args.updates), "--energy.precision", precision]
    recipe = load_recipe("mnist", fields)
    state, data = recipe.make_state(), recipe.load_data()
    begin = time.perf_counter()
    try:
        for _ in fit(state, data.train.images):
            pass
    except Diverged as report:
        return Run(seed, None, time.perf_counter() - begin, str(report))
    seconds = time.perf_counter() - begin
    rng = torch.Generator().manual_seed(seed)
    x = sample(state.ema, args.n, rng=rng, kernel=state.kernel, n_steps=args.steps)
    validation = FeatureMetrics(load_feature_net(torch.device("cpu")), data.validation.images)
    try:
        return Run(seed, validation.frechet_distance(validation.extract(x)), seconds)
    except Unmeasurable as report:
        return Run(seed, None, seconds, str(report))


def in_a_process_of_its_own(seed: int, path: str, args: argparse.Namespace) -> Run:
    """`measure`, by the path of that name."""
    environment, precision = PATHS[path]
    command = [sys.executable, __file__, "--one", str(seed), precision]
    for field in ("updates", "n", "steps"):
        command += [f"--{field}", str(getattr(args, field))]
    done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def table(runs: Runs) -> list[str]:
    """A row for each path, what they differ by, and what failed, in Markdown."""
    lines = ["| path | distance, seed by seed | mean | spread over seeds (sd) | training, s |", "|---|---|---|---|---|"]
    for path, found in runs.items():
        each = ", ".join("failed" if run.distance is None else f"{run.distance:.1f}" for run in found)
        middle, spread, _ = summary([run.distance for run in found if run.distance is not None])
        lines.append(f"| {path} | {each} | {middle} | {spread} | {mean(run.seconds for run in found):.0f} |")
    pairs = zip(runs[NATIVE], runs[TORCH], strict=True)
    gaps = [a.distance - b.distance for a, b in pairs if a.distance is not None and b.distance is not None]
    if len(gaps) > 1:
        middle, _, error = summary(gaps)
        each = ", ".join(f"{gap:+.1f}" for gap in gaps)
        lines += ["", f"C++ less PyTorch, seed by seed: {each}; mean {middle} ± {error} (one standard error)."]
    failures = [(path, run) for path, found in runs.items() for run in found if run.failure is not None]
    lines += [line for path, run in failures for line in ("", f"{path}, seed {run.seed}, failed: {run.failure}")]
    if len(gaps) < ENOUGH:
        lines += ["", f"**A trial, not to be quoted**: fewer than {ENOUGH} seeds measured both ways."]
    return lines


def publish(runs: Runs, args: argparse.Namespace) -> None:
    """Write table and raw figures, with machine, commit and versions, to same_quality.md and .json."""
    bf16 = {"bf16_products": bf16_is_fast()}  # what `auto` means on this machine
    environment = describe_environment() | bf16 | {"load_average": round(os.getloadavg()[0], 2)}
    settings = {"recipe": "mnist", "updates": args.updates, "n": args.n, "steps": args.steps}
    seeds = ", ".join(str(run.seed) for run in runs[NATIVE])
    what = f"Recipe mnist, {args.updates:,} updates, seeds {seeds}; Fréchet distance of {args.n:,} samples from noise, "
    what += f"{args.steps} steps, to the 5,000 validation images."
    lines = ["# Does the fast path cost quality?", "", what, "", *table(runs), ""]
    lines += [f"- {key}: {value}" for key, value in environment.items()]
    report = {
        "environment": environment,
        "settings": settings,
        "runs": {path: [asdict(run) for run in found] for path, found in runs.items()},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "same_quality.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (args.out / "same_quality.json").write_text(
        json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def main() -> None:
    """Run both paths in turn, seed after seed; what is done so far is written after each seed."""
    parser = argparse.ArgumentParser(
        description=inspect.cleandoc(__doc__ or ""), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--updates", type=positive, default=500, help="of each training (default %(default)s)")
    parser.add_argument("--seeds", type=positive, default=ENOUGH, help="0 to this less one (default %(default)s)")
    parser.add_argument("--n", type=positive, default=1000, help="samples, ≥ 256 (default %(default)s)")
    parser.add_argument("--steps", type=positive, default=256, help="of each sample's chain (default %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="DIR", help="where table and raw figures go (results/)"
    )
    parser.add_argument("--one", nargs=2, metavar=("SEED", "PRECISION"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(asdict(measure(int(args.one[0]), args.one[1], args))))
        return
    if library() is None:  # also compiles it, so that no training waits for that
        print("same_quality.py: no C++ here to compare, nothing measured")
        return
    runs: Runs = {path: [] for path in PATHS}
    for seed in range(args.seeds):
        for path, found in runs.items():
            found.append(in_a_process_of_its_own(seed, path, args))
            print(f"{path}: {found[-1]}", flush=True)
        publish(runs, args)
    print(*table(runs), f"written: same_quality.md and .json in {args.out}", sep="\n")


if __name__ == "__main__":
    main()
