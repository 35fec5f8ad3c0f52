"""What each verb of the command line does: call the library, print what comes back."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from rich.console import Console
from rich.table import Table

from ebmnist import pipeline
from ebmnist.artifacts import RunFolder, default_path, write_file, write_images
from ebmnist.artifacts.figures import save_animation, save_grid
from ebmnist.artifacts.measurements import read_measurements
from ebmnist.artifacts.report import Part, write_report
from ebmnist.console import console, follow, steps_bar
from ebmnist.data import MNIST, read_images
from ebmnist.data.corruptions import add_noise
from ebmnist.errors import BadInput
from ebmnist.evaluation.denoising import psnr
from ebmnist.evaluation.feature_net import accuracy, to_bytes, train_feature_net
from ebmnist.examination import Examined, comparison
from ebmnist.gallery import energy_of
from ebmnist.recipe import load_recipe
from ebmnist.recipes import read_recipe, recipe_names
from ebmnist.sampling import run_chain, sample, uniform_noise
from ebmnist.trained import load
from ebmnist.training import Diverged

UNMEASURED, DIVERGED, INTERRUPTED = 1, 3, 130


def run(args: argparse.Namespace, fields: list[str]) -> int:
    """Train, draw, report; or train alone."""
    recipe = load_recipe(args.recipe, fields)
    path = args.out or default_path(recipe.basics.name)
    flow = pipeline.run if args.verb == "run" else pipeline.train
    console.print(f"[bold]{recipe.basics.name}[/]: {recipe.basics.about} → {path}", soft_wrap=True)
    return _follow(flow(recipe, path), path)


def resume(args: argparse.Namespace, fields: list[str]) -> int:
    """Go on with a run."""
    return _follow(pipeline.run_on(args.dir, fields), args.dir)


def report(args: argparse.Namespace, _: list[str]) -> int:
    """Draw again."""
    return _follow(pipeline.finish(args.dir), args.dir)


def recipe(args: argparse.Namespace, _: list[str]) -> int:
    """Print a recipe whole, or list them."""
    if args.recipe:
        print(load_recipe(args.recipe).to_yaml(), end="")
    else:
        for name in recipe_names():
            print(f"{name:12} {read_recipe(name)['about']}")
    return 0


def info(args: argparse.Namespace, _: list[str]) -> int:
    """Say what a model is."""
    model = load(args.model)
    basics, training = model.recipe.basics, model.recipe.make_training()
    facts: dict[str, object] = {
        "recipe": basics.name,
        "about": basics.about,
        "energy": model.recipe.fields["energy"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "updates": f"{model.step} of {training.n_updates}",
        "seed": basics.seed,
        "kernel": model.recipe.fields["sampling"],
        "steps from noise": model.n_steps,
    }
    if (args.model / "recipe.yaml").is_file():
        run = RunFolder.open(args.model)
        events = run.read_events()
        facts["guard"] = f"{len(events)} events" + (f", the last: {events[-1].verdict.value}" if events else "")
        facts["made"] = run.read_environment()
        if run.evaluation.is_file():
            facts["figures"] = json.loads(run.evaluation.read_text(encoding="utf-8"))
        facts["pictures"] = [str(p) for p in sorted(run.figures.glob("*"))]
    print(json.dumps(facts, indent=1, ensure_ascii=False) if args.json else yaml.safe_dump(facts, sort_keys=False))
    return 0


def sample_images(args: argparse.Namespace, _: list[str]) -> int:
    """Draw images from noise."""
    _may_write(args.out, (".png", ".webp", ".gif", ".npy"), args.force)
    if args.n < 1:
        raise BadInput(f"--n must be ≥ 1, not {args.n}")
    model = load(args.model, args.device)
    n_steps = model.n_steps if args.steps is None else args.steps
    rng = torch.Generator(model.device).manual_seed(args.seed)
    if args.out.suffix in (".webp", ".gif"):
        with steps_bar("sampling", n_steps) as progress:
            keep = sorted({round(i * n_steps / 60) for i in range(61)})
            noise = uniform_noise(args.n, (1, 28, 28), rng)
            chain = run_chain(model, model.kernel, noise, n_steps, rng=rng, keep=keep, progress=progress)
        assert chain.trajectory is not None
        save_animation(chain.trajectory, keep, args.out)
    else:
        batches = -(-args.n // 256)
        with steps_bar("sampling", n_steps * batches) as progress:
            x = sample(model, args.n, rng=rng, kernel=model.kernel, n_steps=n_steps, progress=progress)
        _write(x, args.out)
    console.print(f"drew {args.out}")
    return 0


def denoise_images(args: argparse.Namespace, _: list[str]) -> int:
    """Clean noisy images, or show how test images fare."""
    _may_write(args.out, (".png", ".npy"), args.force)
    if not args.sigma > 0:
        raise BadInput(f"--sigma must be > 0, not {args.sigma}")
    model = load(args.model, args.device)
    rng = torch.Generator(model.device).manual_seed(args.seed)
    if args.input is not None:
        noisy = read_images(args.input).to(model.device)
        _write(model.denoise(noisy, args.sigma, rng), args.out)
    else:
        clean = model.recipe.load_data().test.images[:10].to(model.device)
        noisy = add_noise(clean, args.sigma, rng)
        cleaned = model.denoise(noisy, args.sigma, rng)
        _write(torch.cat([clean, noisy.clamp(0, 1), cleaned]), args.out, n_columns=10)
        before, after = (float(psnr(x, clean).mean()) for x in (noisy, cleaned))
        console.print(f"10 test images, σ = {args.sigma:g}: {before:.1f} dB noisy, {after:.1f} dB cleaned")
    console.print(f"wrote {args.out}")
    return 0


def evaluate(args: argparse.Namespace, _: list[str]) -> int:
    """Measure a model."""
    only = [name for name in args.only.split(",") if name]
    failed = False

    def watched() -> pipeline.Events:
        nonlocal failed
        for event in pipeline.evaluate(args.model, out=args.out, quick=args.quick, only=only, seed=args.seed):
            failed |= isinstance(event, Examined) and isinstance(event.outcome, str)
            yield event

    code = _follow(watched(), args.model)
    return UNMEASURED if code == 0 and failed else code


def compare(args: argparse.Namespace, _: list[str]) -> int:
    """Put evaluated runs side by side."""
    runs = {str(path): read_measurements(path / "evaluation.json") for path in args.runs}
    columns, rows = comparison(runs)
    if args.out is not None:
        _may_write(args.out, (".html",), force=False)
        part = Part("All figures", "", (), columns, tuple(rows))
        write_report(args.out, title="ebmnist · compare", about=", ".join(runs), facts={}, headline=(), parts=[part])
        console.print(f"wrote {args.out}")
    if args.markdown:
        print("\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)))
        return 0
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    return 0


def train_classifier(args: argparse.Namespace, _: list[str]) -> int:
    """Train the feature net, and write its weights after every epoch."""
    _may_write(args.out, (".safetensors",), force=False)
    dataset = MNIST().load()
    net = None
    for p in train_feature_net(dataset, rng=torch.Generator().manual_seed(args.seed), n_epochs=args.epochs):
        net = p.net
        write_file(args.out, to_bytes(net))
        console.print(f"epoch {p.epoch}/{p.n_epochs}  loss {p.loss:.4f}  validation {p.validation_accuracy:.2%}")
    if net is not None:
        console.print(f"test accuracy {accuracy(net, dataset.test):.2%}; wrote {args.out}")
    return 0


def score(args: argparse.Namespace, _: list[str]) -> int:
    """Print one energy per image."""
    model = load(args.model, args.device)
    values = energy_of(model, read_images(args.input)).tolist()
    if args.json:
        print(json.dumps(values))
        return 0
    print("index,energy")
    for i, value in enumerate(values):
        print(f"{i},{value!r}")
    return 0


VERBS: dict[str, Callable[[argparse.Namespace, list[str]], int]] = {
    "run": run,
    "train": run,
    "resume": resume,
    "report": report,
    "recipe": recipe,
    "info": info,
    "sample": sample_images,
    "denoise": denoise_images,
    "evaluate": evaluate,
    "compare": compare,
    "train-feature-net": train_classifier,
    "score": score,
}


def _follow(events: pipeline.Events, path: Path) -> int:
    """Follow a stream to its end; the exit code says how it ended."""
    try:
        follow(events)
    except Diverged as error:
        print(f"ebmnist: {error}", file=sys.stderr)
        return DIVERGED
    except KeyboardInterrupt:
        console.print(f"interrupted, and saved; go on with: ebmnist resume {path}", soft_wrap=True)
        return INTERRUPTED
    return 0


def _may_write(path: Path, suffixes: tuple[str, ...], force: bool) -> None:
    """Refuse before the work begins what could not be written after it."""
    if path.suffix not in suffixes:
        raise BadInput(f"--out {path}: use a name that ends in {', '.join(suffixes)}")
    if path.exists() and not force:
        raise BadInput(f"--out {path}: exists already; choose another name, or add --force")
    if not path.absolute().parent.is_dir():
        raise BadInput(f"--out {path}: the folder {path.parent} does not exist; make it first")


def _write(x: torch.Tensor, path: Path, n_columns: int | None = None) -> None:
    if path.suffix == ".npy":
        write_images(x, path)
    else:
        save_grid(x, path, n_columns=n_columns)
