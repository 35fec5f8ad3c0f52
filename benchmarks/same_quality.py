"""Does the fast path cost quality? Recipe mnist trained by the C++, and by PyTorch in fp32: same seeds, same updates.

Each run is a process of its own; the PyTorch ones have EBMNIST_NATIVE=0 and --energy.precision fp32. Quality is the
Fréchet distance of samples from noise, drawn by the path that trained, to the 5,000 validation images.

  python benchmarks/same_quality.py                   3 seeds of each, 500 updates: a quarter of an hour on two cores
  python benchmarks/same_quality.py --updates 3000    the whole recipe: an hour and a half
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from ebmnist.artifacts.environment import describe_environment
from ebmnist.evaluation.feature_net import load_feature_net
from ebmnist.evaluation.yardstick import Yardstick
from ebmnist.recipe import load_recipe
from ebmnist.sampling import sample
from ebmnist.training import fit

PATHS = {
    "C++, precision auto": ({}, "auto"),
    "PyTorch, fp32": ({"EBMNIST_NATIVE": "0"}, "fp32"),
}
RESULTS = Path(__file__).parent / "results"


def measure(seed: int, updates: int, n: int, precision: str) -> dict[str, float]:
    """Train and sample in this process."""
    fields = ["--seed", str(seed), "--training.n_updates", str(updates), "--energy.precision", precision]
    recipe = load_recipe("mnist", fields)
    state, data = recipe.make_state(), recipe.load_data()
    begin = time.perf_counter()
    for _ in fit(state, data.train.images):
        pass
    seconds = time.perf_counter() - begin
    x = sample(state.ema, n, rng=torch.Generator().manual_seed(seed), kernel=state.kernel, n_steps=256)
    validation = Yardstick(load_feature_net(torch.device("cpu")), data.validation.images)
    return {"distance": validation.frechet_distance(validation.see(x)), "seconds": seconds}


def main() -> None:
    """Run all, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n", type=int, default=1000, help="samples (default: 1000)")
    parser.add_argument("--one", nargs=2, metavar=("SEED", "PRECISION"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(int(args.one[0]), args.updates, args.n, args.one[1])))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in PATHS}
    for seed in range(args.seeds):
        for name, (environment, precision) in PATHS.items():
            command = [sys.executable, __file__, "--updates", str(args.updates), "--n", str(args.n)]
            command += ["--one", str(seed), precision]
            done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"seed {seed}, {name}: {found[name][-1]}", flush=True)
    what = f"{args.updates} updates, seeds 0 to {args.seeds - 1}; Fréchet distance of {args.n} samples from noise"
    lines = [
        "# Does the fast path cost quality?", "",
        f"Recipe mnist, {what}, 256 steps, to the 5,000 validation images.", "",
        "| path | distance, seed by seed | mean ± spread (sd) | training, s |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, runs in found.items():
        distances = [run["distance"] for run in runs]
        spread = statistics.stdev(distances) if len(distances) > 1 else float("nan")
        each = ", ".join(f"{d:.1f}" for d in distances)
        seconds = statistics.mean(run["seconds"] for run in runs)
        lines.append(f"| {name} | {each} | {statistics.mean(distances):.1f} ± {spread:.1f} | {seconds:.0f} |")
    lines += ["", *(f"{k}: {v}  " for k, v in describe_environment().items())]
    (RESULTS / "same_quality.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
