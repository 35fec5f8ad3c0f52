"""The commands that train a recipe, go on with a run, or show a recipe."""

import argparse

from ebmnist import pipeline
from ebmnist.commands.ends import follow_to_the_end
from ebmnist.commands.explained import explained
from ebmnist.config import load_recipe
from ebmnist.console import say
from ebmnist.output import put
from ebmnist.recipes import read_recipe, recipe_names
from ebmnist.reporting import check_tensorboard, default_path


def run(args: argparse.Namespace, fields: list[str]) -> int:
    """Train, draw, report; or train alone."""
    recipe = load_recipe(args.recipe, fields)
    if recipe.saving.tensorboard:
        check_tensorboard()
    path = args.out or default_path(recipe.basics.name)
    say((recipe.basics.name, "bold"), f": {recipe.basics.about} → {path}")
    if args.command == "train":
        return follow_to_the_end(lambda _: pipeline.train(recipe, path))
    return follow_to_the_end(lambda progress: pipeline.run(recipe, path, progress=progress))


def resume(args: argparse.Namespace, fields: list[str]) -> int:
    """Go on with a run."""
    return follow_to_the_end(
        lambda progress: pipeline.run_on(args.dir, fields, restart=args.restart, progress=progress)
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
