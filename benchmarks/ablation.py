"""What is each value of a recipe good for? Trains it as it is, and with one thing after another turned off or back.

Quality is that of samples from noise by the averaged weights, beside the 5,000 validation images: Fréchet distance,
divergence of the digit histogram, share of clear digits; and of the energy, its AUROC over validation images for what
is none, the mean of all kinds and the one of black images. Trainings are short, so that a difference of less than the
spread over seeds says nothing, and what only shows in long runs does not show.

  python benchmarks/ablation.py mnist --jobs 2                     one seed of 1,500 updates: half an hour on two cores
  python benchmarks/ablation.py mnist-classic --seeds 3
  python benchmarks/ablation.py mnist --updates 20 --n 256 --steps 128 --only "as it is" --out /tmp/trial      a trial
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import torch
from rich.console import Console

from ebmnist.config import load_recipe
from ebmnist.data import Dataset
from ebmnist.energies import Energy
from ebmnist.evaluation import Unmeasurable
from ebmnist.evaluation.feature_metrics import FeatureMetrics
from ebmnist.evaluation.feature_net import load_feature_net
from ebmnist.evaluation.outliers import synthetic_sets
from ebmnist.evaluation.ranking import rank
from ebmnist.inference.scoring import energies
from ebmnist.reporting.environment import describe_environment
from ebmnist.sampling import sample
from ebmnist.training import Diverged, fit
from paired import RESULTS, positive
from seeds import each, summary

Variants = dict[str, list[str]]  # what is changed, in words -> the overrides
AS_IT_IS: Variants = {"as it is": []}
SHARED: Variants = {
    "constant learning rate": ["--training.schedule.kind", "constant"],
    "no average: ema_decay 0": ["--training.ema_decay", "0"],
    "momentum: beta1 0.5": ["--training.beta1", "0.5"],
}
OWN: dict[str, Variants] = {
    "mnist": {
        "no restarts from corrupted data": ["--training.start.corrupted_fraction", "0"],
        "ten times the restarts": ["--training.start.fresh_fraction", "0.05"],
        "no max_gap": ["--training.objective.max_gap", "null"],
        "no reference_precision": ["--energy.reference_precision", "0"],
        "lower noise: sigma_max 0.3": ["--sampling.sigma_max", "0.3"],
        "higher noise: sigma_max 4": ["--sampling.sigma_max", "4"],
        "all pairs count alike: sigma_weighting 0": ["--training.objective.sigma_weighting", "0"],
        "noisy pairs count less: sigma_weighting 5": ["--training.objective.sigma_weighting", "5"],
        "half the Langevin steps: 2": ["--training.n_steps", "2"],
        "four times the Langevin steps: 16": ["--training.n_steps", "16"],
        "no clamp_margin": ["--sampling.clamp_margin", "0"],
        "squares: energy_l2 0.02": ["--training.objective.energy_l2", "0.02"],
        "weight gradient clipped at 1": ["--training.weight_grad_clip", "1"],
        "no weight decay": ["--training.weight_decay", "0"],
        "half the width: 16": ["--energy.width", "16"],
    },
    "mnist-classic": {
        "no squares: energy_l2 0": ["--training.objective.energy_l2", "0"],
        "clamp_margin 0.06": ["--sampling.clamp_margin", "0.06"],
        "mean_l2 0.01": ["--training.objective.mean_l2", "0.01"],
        "sixteen times colder, as the tutorial": [
            "--sampling.temperature",
            "1.25e-6",
            "--training.data_noise",
            "0.0025",
        ],
        "half the Langevin steps: 5": ["--training.n_steps", "5"],
        "half the width: 16": ["--energy.width", "16"],
        "restarts 2 % instead of 5 %": ["--training.start.fresh_fraction", "0.02"],
    },
}


@dataclass(frozen=True)
class Run:
    """One training, and what its samples measure."""

    variant: str
    seed: int
    distance: float | None
    """Fréchet distance to the validation images; None where there is none to be had."""
    kl: float | None
    """Divergence of the digit histogram, nats."""
    confident: float | None
    """Share of samples with a class probability above 0.9."""
    odd: float | None
    """AUROC of E over validation images, mean of the kinds of `synthetic_sets`."""
    black: float | None
    """AUROC of E for black images alone."""
    interventions: int
    """Updates after which the guard lowered the rate, reinitialised chains or rolled back."""
    seconds: float
    """Of the training alone."""
    failure: str | None = None
    """Why there are no figures."""


def variants(recipe: str) -> Variants:
    """The changes to try on a recipe; those of the learning rate are multiples of its own."""
    lr = load_recipe(recipe).make_training().lr
    rates = {
        "half the learning rate": ["--training.lr", str(lr / 2)],
        "twice the learning rate": ["--training.lr", str(2 * lr)],
    }
    return AS_IT_IS | SHARED | rates | OWN.get(recipe, {})


def measure(name: str, variant: str, overrides: list[str], seed: int, args: argparse.Namespace) -> Run:
    """Train once and look at samples; a training that diverges is a result too."""
    fields = ["--seed", str(seed), "--training.n_updates", str(args.updates), *overrides]
    recipe = load_recipe(name, fields)
    state, data = recipe.make_state(), recipe.load_data()
    begin, acted = time.perf_counter(), 0
    try:
        for _, decision in fit(state, data.train.images):
            acted += decision.action.name in ("LR_LOWERED", "REINITIALISED", "ROLLED_BACK")
    except Diverged as report:
        seconds = time.perf_counter() - begin
        return Run(variant, seed, *[None] * 5, acted, seconds, str(report).splitlines()[-2].strip())
    seconds = time.perf_counter() - begin
    n_steps = args.steps or recipe.generation.n_steps
    x = sample(state.ema, args.n, rng=torch.Generator().manual_seed(seed), kernel=state.kernel, n_steps=n_steps)
    feature_metrics = FeatureMetrics(load_feature_net(torch.device("cpu")), data.validation.images)
    try:
        seen = feature_metrics.extract(x)
        confident = float((seen.probabilities.amax(1) > feature_metrics.confident).float().mean())
        distance, (kl, _) = feature_metrics.frechet_distance(seen), feature_metrics.histogram_kl(seen)
        return Run(variant, seed, distance, kl, confident, *_outliers(state.ema, data), acted, seconds)
    except Unmeasurable as report:
        return Run(variant, seed, *[None] * 5, acted, seconds, str(report))


def _outliers(energy: Energy, data: Dataset) -> tuple[float, float]:
    """AUROC of E for what is no digit, mean and of black; every other of 2,000 validation images is one."""
    images, rng = data.validation.images[:2000], torch.Generator().manual_seed(0)
    digits = energies(energy, images[0::2], "validation")
    sets = synthetic_sets(images[1::2], rng)
    area = {name: rank(digits, energies(energy, x, name)).auroc.value for name, x in sets.items()}
    return mean(area.values()), area["black"]


def table(runs: list[Run]) -> str:
    """Markdown: a row per variant, in the order they were first run."""
    lines = [
        "| what is changed | Fréchet distance | KL, nats | confident | AUROC, mean | black | interventions | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for variant in dict.fromkeys(run.variant for run in runs):
        group = [run for run in runs if run.variant == variant]
        middle = [_cell([getattr(run, name) for run in group], digits) for name, digits in COLUMNS.items()]
        acted, seconds = (mean(getattr(run, name) for run in group) for name in ("interventions", "seconds"))
        lines.append(f"| {variant} | {' | '.join(middle)} | {acted:.1f} | {seconds:.0f} |")
    lines += [f"\n{run.variant}, seed {run.seed}, failed: {run.failure}" for run in runs if run.failure is not None]
    return "\n".join(lines) + "\n"


COLUMNS = {"distance": 1, "kl": 3, "confident": 2, "odd": 3, "black": 3}  # field of `Run` -> decimals


def _cell(values: list[float | None], digits: int) -> str:
    middle, spread, _ = summary([v for v in values if v is not None], digits)
    return middle if spread == "–" else f"{middle} ± {spread}"


def publish(runs: list[Run], args: argparse.Namespace) -> None:
    """Write table and raw figures, with machine, commit and versions."""
    what = (
        f"Recipe {args.recipe}, {args.updates:,} updates with the schedule's end there, seeds 0 to {args.seeds - 1}, "
        f"guard on, trainings at once: {args.jobs}; {args.n:,} samples from noise, "
        f"{args.steps or 'the recipe’s number of'} steps, beside the 5,000 validation images. ± is the "
        "spread over seeds (sd)."
    )
    environment = describe_environment()
    lines = [f"# What each value of {args.recipe} is good for", "", what, "", table(runs)]
    lines += [f"- {key}: {value}" for key, value in environment.items()]
    settings = {name: getattr(args, name) for name in ("recipe", "updates", "seeds", "n", "steps", "jobs")}
    report = {"environment": environment, "settings": settings, "runs": [asdict(run) for run in runs]}
    args.out.mkdir(parents=True, exist_ok=True)
    stem = args.out / f"ablation-{args.recipe}"
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Run them all, seed after seed, writing after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="mnist", choices=sorted(OWN), help="default: mnist")
    parser.add_argument("--updates", type=positive, default=1500, help="of each training (default: 1500)")
    parser.add_argument("--seeds", type=positive, default=1, help="0 to this less one (default: 1)")
    parser.add_argument("--n", type=positive, default=1000, help="samples, ≥ 256 (default: 1000)")
    parser.add_argument("--steps", type=positive, help="of each sample's chain (default: the recipe's)")
    parser.add_argument("--jobs", type=positive, default=1, help="trainings at once (default: 1)")
    parser.add_argument("--only", action="append", help="one variant by its name; may be given again")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="where table and raw figures go")
    args = parser.parse_args()
    chosen = {k: v for k, v in variants(args.recipe).items() if not args.only or k in args.only}
    if not chosen:
        parser.error(f"--only: no such variant; there are: {'; '.join(variants(args.recipe))}")
    console, runs = Console(stderr=True), []
    tasks = [(args.recipe, *variant, seed, args) for seed in range(args.seeds) for variant in chosen.items()]
    for run in each(measure, tasks, jobs=args.jobs):
        runs.append(run)
        console.print(f"{run.variant}, seed {run.seed}: {run.distance if run.distance else run.failure}")
        publish(runs, args)
    print(table(runs))


if __name__ == "__main__":
    main()
