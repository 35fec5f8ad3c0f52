"""The verbs that use a trained model: say what it is, pass it on, sample, denoise, score."""

import argparse
import json
from pathlib import Path

import torch
import yaml

from ebmnist.artifacts import RunFolder, load_checkpoint, write_images
from ebmnist.artifacts.figures import save_animation, save_grid
from ebmnist.console import console, steps_bar
from ebmnist.data import read_images
from ebmnist.data.corruptions import add_noise
from ebmnist.errors import BadInput
from ebmnist.evaluation.denoising import psnr
from ebmnist.gallery import energy_of
from ebmnist.random import Rng
from ebmnist.sampling import check_whole_cycles, run_chain, sample, uniform_noise
from ebmnist.trained import export as export_model
from ebmnist.trained import load
from ebmnist.verbs.ends import may_write


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
    else:
        carried = load_checkpoint(args.model).facts
        facts |= {name: carried[name] for name in ("made", "figures") if name in carried}
    print(json.dumps(facts, indent=1, ensure_ascii=False) if args.json else yaml.safe_dump(facts, sort_keys=False))
    return 0


def export(args: argparse.Namespace, _: list[str]) -> int:
    """Write a model without its training state."""
    console.print(f"wrote {export_model(args.model, args.out)}", soft_wrap=True)
    return 0


def sample_images(args: argparse.Namespace, _: list[str]) -> int:
    """Draw images from noise."""
    may_write(args.out, (".png", ".webp", ".gif", ".npy"), args.force)
    if args.n < 1:
        raise BadInput(f"--n must be ≥ 1, not {args.n}")
    model = load(args.model, args.device)
    n_steps = model.n_steps if args.steps is None else args.steps
    check_whole_cycles(model.kernel, n_steps)
    rng = Rng(args.seed, device=model.device)
    if args.out.suffix in (".webp", ".gif"):
        with steps_bar("sampling", n_steps) as progress:
            keep = sorted({round(i * n_steps / 60) for i in range(61)})
            noise = uniform_noise(args.n, (1, 28, 28), rng)
            chain = run_chain(model, model.kernel, noise, n_steps, rng=rng, keep=keep, progress=progress)
        assert chain.trajectory is not None
        save_animation(chain.trajectory.cpu(), keep, args.out)
    else:
        batches = -(-args.n // 256)
        with steps_bar("sampling", n_steps * batches) as progress:
            x = sample(model, args.n, rng=rng, n_steps=n_steps, progress=progress)
        _write(x, args.out)
    console.print(f"drew {args.out}")
    return 0


def denoise_images(args: argparse.Namespace, _: list[str]) -> int:
    """Clean noisy images, or show how test images fare."""
    may_write(args.out, (".png", ".npy"), args.force)
    if not args.sigma > 0:
        raise BadInput(f"--sigma must be > 0, not {args.sigma}")
    model = load(args.model, args.device)
    rng = Rng(args.seed, device=model.device)
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


def _write(x: torch.Tensor, path: Path, n_columns: int | None = None) -> None:
    if path.suffix == ".npy":
        write_images(x, path)
    else:
        save_grid(x, path, n_columns=n_columns)
