"""How good are samples in how many gradients? Fréchet distance of samples from noise, for each sampler and length.

Rows of the table that were measured before, and are not measured again, stay; each names its commit. Gradients are
those of one image, with the one that ends a cycle, y − ∇E(y)/κ. Choose on validation images and report on
test images. ± is the standard deviation over seeds of the sampling, of one model.

`hmc`, `underdamped_langevin` and `parallel_tempering` have no noise levels. The first two follow the temperatures of
the model's own kernel, from σ_max to σ_min in one cycle. The last has replicas from the images' T to 4T.

  python benchmarks/samplers.py mnist-best runs/mnist                      validation, N = 5,000
  python benchmarks/samplers.py mnist-best runs/mnist --split test --n 10000 --only "annealed_langevin;ancestral"
  python benchmarks/samplers.py mnist-best --n 300 --seeds 1 --out /tmp/trial    a trial
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor

from chart import save_chart
from ebmnist import EBM
from ebmnist.evaluation.feature_metrics import FeatureMetrics
from ebmnist.evaluation.feature_net import load_feature_net
from ebmnist.random import Rng
from ebmnist.reporting.environment import describe_environment
from ebmnist.sampling import (
    HMC,
    SAMPLERS,
    AnnealedLangevin,
    Heun,
    Kernel,
    ParallelTempering,
    UnderdampedLangevin,
    run_chain,
    sample,
    samples_of,
    uniform_noise,
)
from paired import RESULTS, positive
from report import Sweep
from seeds import summary


class Setting(NamedTuple):
    """A sampler as it is measured."""

    gradients: int  # of one image
    draw: Callable[[EBM, int, int], Tensor]  # the model, how many, the seed


def settings() -> dict[str, list[Setting]]:
    """Every sampler with its lengths; the first is the reference."""
    return {
        "annealed_langevin": [_own(256), _own(128)],
        "ancestral": [_solver("ancestral", n) for n in (64, 32, 16)],
        "ancestral, τ = 1": [_solver("ancestral", n, tau=1.0) for n in (64, 32, 16)],
        "ancestral, τ = 0 (DDIM)": [_solver("ancestral", n, tau=0.0) for n in (64, 32)],
        "dpm_solver": [_solver("dpm_solver", n) for n in (64, 32, 16)],
        "dpm_solver, a quarter held": [
            _solver("dpm_solver", n, n_hold=n // 4, n_anneal=n - n // 4) for n in (64, 32, 16)
        ],
        "dpm_solver, τ = 1": [_solver("dpm_solver", n, tau=1.0) for n in (64, 32, 16)],
        "dpm_solver, τ = 0": [_solver("dpm_solver", n, tau=0.0) for n in (64, 32, 16)],
        "heun, churn 30": [_solver("heun", n, churn=30.0) for n in (32, 16, 8)],
        "heun, churn 0": [_solver("heun", n, churn=0.0) for n in (32, 16, 8)],
        "hmc": [Setting(257, _tempered(HMC(step_size=5**0.5, n_leapfrog=4), 64))],
        "underdamped_langevin": [Setting(257, _tempered(UnderdampedLangevin(step_size=5**0.5, friction=0.45), 256))],
        "parallel_tempering": [Setting(257, _replicas(64))],
    }


def _own(n_steps: int) -> Setting:
    return Setting(n_steps + 1, lambda ebm, n, seed: ebm.sample(n, seed=seed, n_steps=n_steps))


def _solver(name: str, n_steps: int, **fields: float) -> Setting:
    def draw(ebm: EBM, n: int, seed: int) -> Tensor:
        kernel = replace(SAMPLERS[name].of(ebm.kernel, n_steps), **fields)
        return sample(ebm.trained, n, rng=Rng(seed), kernel=kernel, n_steps=n_steps)

    return Setting((2 if SAMPLERS[name] is Heun else 1) * n_steps + 1, draw)


def _tempered(kernel: Kernel, n_steps: int) -> Callable[[EBM, int, int], Tensor]:
    """Chains from noise of σ_max at the temperatures κσ² of the model's own kernel, σ falling by equal ratios."""

    def draw(ebm: EBM, n: int, seed: int) -> Tensor:
        own, rng = _annealed(ebm), Rng(seed)
        fall = (own.sigma_min / own.sigma_max) ** (1 / (n_steps - 1))
        temperatures = [own.curvature * (own.sigma_max * fall**i) ** 2 for i in range(n_steps)]
        x = _noise(n, own.sigma_max, rng)
        x = run_chain(ebm.trained, kernel, x, n_steps, rng=rng, temperatures=temperatures).x
        return samples_of(ebm.trained, own, x)

    return draw


def _replicas(n_steps: int) -> Callable[[EBM, int, int], Tensor]:
    """Four replicas from noise, at the temperature of images and up to four times as hot."""

    def draw(ebm: EBM, n: int, seed: int) -> Tensor:
        own, rng = _annealed(ebm), Rng(seed)
        kernel = ParallelTempering(
            step_size=own.step_size, temperature=own.temperature, n_replicas=4, ratio=math.cbrt(4)
        )
        x = run_chain(ebm.trained, kernel, _noise(n, own.sigma_max, rng), n_steps, rng=rng).x
        return samples_of(ebm.trained, own, x)

    return draw


def _annealed(ebm: EBM) -> AnnealedLangevin:
    assert isinstance(ebm.kernel, AnnealedLangevin)
    return ebm.kernel


def _noise(n: int, sigma: float, rng: Rng) -> Tensor:
    x = uniform_noise(n, (1, 28, 28), rng)
    return x + sigma * rng.normal(tuple(x.shape), x.dtype)


@dataclass(frozen=True)
class Measured:
    """One model's samples by one sampler, a distance a seed."""

    model: str
    sampler: str
    gradients: int
    distances: list[float]
    confident: list[float]
    seconds: float
    """Of drawing, per 1,000 images."""
    commit: str
    """Of the code that drew them."""

    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        distance, spread, _ = summary(self.distances, 2)
        kept = f"{mean(self.confident):.3f}"
        distance = f"{distance} ± {spread}"
        return (self.model, self.sampler, str(self.gradients), distance, kept, f"{self.seconds:.1f}", self.commit[:7])


def measure(name: str, sampler: str, setting: Setting, args: argparse.Namespace) -> Measured:
    """Draw by one sampler with each seed, and compare with the split's images."""
    ebm = EBM.from_pretrained(name)
    images = getattr(ebm.recipe.load_data(), args.split).images
    metrics, distances, confident, seconds = FeatureMetrics(load_feature_net(), images), [], [], 0.0
    for seed in range(args.seeds):
        begin = time.perf_counter()
        x = setting.draw(ebm, args.n, seed)
        seconds += time.perf_counter() - begin
        seen = metrics.extract(x)
        distances.append(metrics.frechet_distance(seen))
        confident.append(float((seen.probabilities.amax(1) > 0.9).double().mean()))
    return Measured(
        ebm.recipe.basics.name,
        sampler,
        setting.gradients,
        distances,
        confident,
        1000 * seconds / args.seeds / args.n,
        describe_environment()["commit"],
    )


def sweeps(measured: list[Measured]) -> list[Sweep]:
    """Distance against gradients, a part for each model and a line for each sampler."""
    found: dict[str, dict[str, dict[int, list[float]]]] = {}
    for m in measured:
        found.setdefault(m.model, {}).setdefault(m.sampler, {})[m.gradients] = m.distances
    return [Sweep(model, "gradients per image", lines, "Fréchet distance") for model, lines in found.items()]


def table(measured: list[Measured]) -> str:
    """The table in Markdown."""
    head = ("model", "sampler", "gradients", "Fréchet distance", "confident", "seconds per 1,000", "commit")
    rows = [head, ("---",) * len(head), *(m.row() for m in measured)]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def merged(measured: list[Measured], file: Path, facts: dict[str, object]) -> list[Measured]:
    """Rows of an earlier table that were not measured again, and these, in the order of `settings`."""
    if not file.is_file():
        return measured
    before = json.loads(file.read_text(encoding="utf-8"))
    if any(before["facts"][name] != facts[name] for name in ("n", "seeds", "split", "processor")):
        raise SystemExit(f"{file} was measured otherwise: give another --out, or the same N, seeds and processor")
    rows = {(m.model, m.sampler, m.gradients): m for m in (*(Measured(**row) for row in before["measured"]), *measured)}
    models, samplers = list(dict.fromkeys(key[0] for key in rows)), list(settings())
    return sorted(rows.values(), key=lambda m: (models.index(m.model), samplers.index(m.sampler), -m.gradients))


def main() -> None:
    """Measure, print, and write <out>/samplers-<split>.md and .json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a packaged name or a run folder")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--n", type=positive, default=5000, help="samples of each (default: 5000)")
    parser.add_argument("--seeds", type=positive, default=3, help="of the sampling (default: 3)")
    names = "samplers of the table, with semicolons (default: all)"
    parser.add_argument("--only", type=lambda s: s.split(";"), help=names)
    parser.add_argument("--gradients", type=positive, nargs="+", help="lengths of the table (default: all)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the table goes (default: benchmarks/results)")
    args = parser.parse_args()
    path = args.out / f"samplers-{args.split}"
    facts = describe_environment() | {"n": args.n, "seeds": args.seeds, "split": args.split}
    measured: list[Measured] = []
    for name in args.models:
        for sampler, lengths in settings().items():
            if args.only is None or sampler in args.only:
                for setting in lengths:
                    if args.gradients is None or setting.gradients in args.gradients:
                        measured.append(measure(name, sampler, setting, args))
                        print(" ".join(measured[-1].row()), flush=True)
    measured = merged(measured, path.with_suffix(".json"), facts)
    about = f"N = {args.n:,} against {args.split} images, {args.seeds} seeds of the sampling."
    args.out.mkdir(parents=True, exist_ok=True)
    text = f"# Samplers\n\n![samplers]({path.name}.png)\n\n{table(measured)}\n{about}\n"
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    where = facts["accelerator"] or facts["processor"]
    save_chart(sweeps(measured), path.with_suffix(".png"), title="Samplers", subtitle=f"{about[:-1]}, {where}.")
    rows = {"facts": facts, "measured": [asdict(m) for m in measured], "torch": torch.__version__}
    path.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
