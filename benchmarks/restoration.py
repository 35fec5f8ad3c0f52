"""How well are images restored? The sections denoising, inpainting and restoration, on many images of one split.

The evaluation takes a few hundred test images. Here `--n` says how many, and `--split validation` is for choices.
± is one standard error over images; one model, one seed of noise and sampling.

  python benchmarks/restoration.py mnist-best                                 validation, N = 200
  python benchmarks/restoration.py mnist-best --split test --n 500 --only inpainting,restoration
  python benchmarks/restoration.py mnist-best --n 30 --only denoising --out /tmp/trial    a trial
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from ebmnist import EBM
from ebmnist.evaluation import EvaluationContext, Metric
from ebmnist.evaluation.denoising import Denoising
from ebmnist.evaluation.inpainting import Inpainting
from ebmnist.evaluation.restoration import Restoration
from ebmnist.random import Rng
from ebmnist.reporting.environment import describe_environment
from paired import RESULTS, positive

SECTIONS = {"denoising": Denoising(), "inpainting": Inpainting(), "restoration": Restoration()}


def measure(name: str, section: str, args: argparse.Namespace) -> list[Metric]:
    """Measure one section of one model, baselines last."""
    ebm = EBM.from_pretrained(name)
    data = ebm.recipe.load_data()
    chosen = data if args.split == "test" else data._replace(test=data.validation, validation=data.train)
    context = EvaluationContext(ebm.trained, ebm.kernel, ebm.trained.n_steps, chosen, torch.device("cpu"))
    measured = replace(SECTIONS[section], n=args.n).measure(context, Rng(args.seed))
    return [*measured.metrics, *measured.baselines]


def table(metrics: list[Metric]) -> str:
    """The table in Markdown."""
    text = "| measure | value | note |\n| --- | --- | --- |\n"
    for m in metrics:
        error = "" if m.error is None else f" ± {m.error:.2g}"
        text += f"| {m.name} | {m.value:.4g}{error} {m.unit} | {m.note} |\n"
    return text


def main() -> None:
    """Measure, and write <out>/<section>-<split>.md, one a section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="a packaged name or a run folder")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--n", type=positive, default=200, help="images (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of noise and sampling (default: 0)")
    parser.add_argument("--only", type=lambda s: s.split(","), default=list(SECTIONS), help="sections (default: all)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the table goes (default: benchmarks/results)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    commit = describe_environment()["commit"]
    about = f"{args.model}, N = {args.n:,} {args.split} images, seed {args.seed}, commit {commit}."
    for section in args.only:
        found = measure(args.model, section, args)
        text = f"# {section.capitalize()}\n\n{table(found)}\n{about} ± is one standard error over images.\n"
        (args.out / f"{section}-{args.split}.md").write_text(text, encoding="utf-8")
        print(section, *(f"{m.name} {m.value:.4g}" for m in found), sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
