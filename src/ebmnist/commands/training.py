"""The commands that train a recipe, go on with a run, or show a recipe."""

import argparse
from pathlib import Path

from ebmnist import pipeline
from ebmnist.commands.ends import follow_to_the_end
from ebmnist.commands.explained import explained
from ebmnist.config import load_recipe
from ebmnist.console import say
from ebmnist.evaluation.base import ProgressCallback
from ebmnist.events import Events
from ebmnist.launched import join, was_restarted
from ebmnist.output import put
from ebmnist.recipes import read_recipe, recipe_names
from ebmnist.reporting import check_tensorboard, default_path
from ebmnist.reporting.checkpoint import list_checkpoints
from ebmnist.terminal import console


def run(args: argparse.Namespace, fields: list[str]) -> int:
    """Train, draw, report; or train alone. A job that `torchrun` starts again goes on with its run."""
    with join() as ranks:
        console.quiet = not ranks.first
        with ranks.agreed():
            recipe = load_recipe(args.recipe, fields)
            if recipe.saving.tensorboard:
                check_tensorboard()
        path = args.out or Path(ranks.texts(str(default_path(recipe.basics.name)))[0])
        begun = was_restarted() and ranks.any((path / "recipe.yaml").is_file())
        restart = begun and not list_checkpoints(path / "checkpoints")

        def flow(progress: ProgressCallback) -> Events:
            if begun and args.command == "train":
                return pipeline.resume(path, restart=restart, ranks=ranks)
            if begun:
                return pipeline.run_on(path, restart=restart, ranks=ranks, progress=progress)
            if args.command == "train":
                return pipeline.train(recipe, path, ranks=ranks)
            return pipeline.run(recipe, path, ranks=ranks, progress=progress)

        say((recipe.basics.name, "bold"), f": {recipe.basics.about} → {path}")
        return follow_to_the_end(flow, ranks=ranks)


def resume(args: argparse.Namespace, fields: list[str]) -> int:
    """Go on with a run."""
    with join() as ranks:
        console.quiet = not ranks.first
        return follow_to_the_end(
            lambda progress: pipeline.run_on(args.dir, fields, restart=args.restart, ranks=ranks, progress=progress),
            ranks=ranks,
        )


def report(args: argparse.Namespace, _: list[str]) -> int:
    """Draw again."""
    return follow_to_the_end(
        lambda progress: pipeline.finish(args.dir, device=args.device, data_root=args.data_root, progress=progress),
        at_once=True,
    )


def recipe(args: argparse.Namespace, _: list[str]) -> int:
    """Print a recipe whole and explained, or list them."""
    if args.recipe:
        put(explained(load_recipe(args.recipe)), end="")
    else:
        width = max(map(len, recipe_names()))
        put("\n".join(f"{name:{width}}  {read_recipe(name)['about']}" for name in recipe_names()))
    return 0
