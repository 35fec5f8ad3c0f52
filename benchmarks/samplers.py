"""How good are samples in how many gradients? Fréchet distance of samples from noise, for each sampler and length.

Gradients are those of one image: a step each, and one at the end of a cycle, y − ∇E(y)/κ. Choose on validation images
and report on test images. ± is the standard deviation over seeds of the sampling, of one model.

  python benchmarks/samplers.py mnist-best runs/mnist                      validation, N = 5,000
  python benchmarks/samplers.py mnist-best runs/mnist --split test --n 10000
  python benchmarks/samplers.py mnist-best --n 300 --seeds 1 --out /tmp/trial    a trial
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import torch

from ebmnist import EBM
from ebmnist.evaluation.feature_metrics import FeatureMetrics
from ebmnist.evaluation.feature_net import load_feature_net
from ebmnist.reporting.environment import describe_environment
from paired import RESULTS, positive
from seeds import summary

LANGEVIN = "annealed_langevin"
SETTINGS = ((LANGEVIN, 256), (LANGEVIN, 128), ("ancestral", 64), ("ancestral", 32), ("ancestral", 16))


@dataclass(frozen=True)
class Measured:
    """One model's samples by one sampler, a distance a seed."""

    model: str
    sampler: str
    steps: int
    distances: list[float]
    confident: list[float]
    seconds: float
    """Of drawing, per 1,000 images."""

    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        distance, spread, _ = summary(self.distances, 2)
        kept = f"{mean(self.confident):.3f}"
        return (self.model, self.sampler, str(self.steps + 1), f"{distance} ± {spread}", kept, f"{self.seconds:.1f}")


def measure(name: str, sampler: str, steps: int, args: argparse.Namespace) -> Measured:
    """Draw by one sampler with each seed, and compare with the split's images."""
    ebm = EBM.from_pretrained(name)
    images = getattr(ebm.recipe.load_data(), args.split).images
    metrics, distances, confident, seconds = FeatureMetrics(load_feature_net(), images), [], [], 0.0
    for seed in range(args.seeds):
        begin = time.perf_counter()
        x = ebm.sample(args.n, seed=seed, n_steps=steps, sampler=None if sampler == LANGEVIN else sampler)
        seconds += time.perf_counter() - begin
        seen = metrics.extract(x)
        distances.append(metrics.frechet_distance(seen))
        confident.append(float((seen.probabilities.amax(1) > 0.9).double().mean()))
    return Measured(name, sampler, steps, distances, confident, 1000 * seconds / args.seeds / args.n)


def table(measured: list[Measured]) -> str:
    """The table in Markdown."""
    head = ("model", "sampler", "gradients", "Fréchet distance", "share with confidence > 0.9", "seconds per 1,000")
    rows = [head, ("---",) * len(head), *(m.row() for m in measured)]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def main() -> None:
    """Measure, print, and write <out>/samplers-<split>.md and .json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a packaged name or a run folder")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--n", type=positive, default=5000, help="samples of each (default: 5000)")
    parser.add_argument("--seeds", type=positive, default=3, help="of the sampling (default: 3)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the table goes (default: benchmarks/results)")
    args = parser.parse_args()
    measured = []
    for name in args.models:
        for sampler, steps in SETTINGS:
            measured.append(measure(name, sampler, steps, args))
            print(" ".join(measured[-1].row()), flush=True)
    facts = describe_environment() | {"n": args.n, "seeds": args.seeds, "split": args.split}
    about = f"N = {args.n:,} against {args.split} images, {args.seeds} seeds of the sampling, commit {facts['commit']}."
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"samplers-{args.split}"
    path.with_suffix(".md").write_text(f"# Samplers\n\n{table(measured)}\n{about}\n", encoding="utf-8")
    rows = {"facts": facts, "measured": [asdict(m) for m in measured], "torch": torch.__version__}
    path.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
