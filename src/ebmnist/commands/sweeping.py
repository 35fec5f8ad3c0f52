"""The command that trains a recipe at each point of a grid."""

import argparse
from pathlib import Path

from ebmnist.commands.ends import UNMEASURED, follow_to_the_end
from ebmnist.commands.tables import in_lines
from ebmnist.config import load_recipe
from ebmnist.errors import BadInput
from ebmnist.output import put
from ebmnist.reporting.study import check_optuna
from ebmnist.sweeping import Sweep, result
from ebmnist.sweeping import sweep as run_sweep


def sweep(args: argparse.Namespace, fields: list[str]) -> int:
    """Do a sweep, or go on with it, and print its table."""
    check_optuna()
    grid = dict(args.grid)
    if len(grid) < len(args.grid):
        raise BadInput("--grid: names a field twice; give all its values at once, as training.lr=1e-3,2e-3")
    recipe = load_recipe(args.recipe, fields)
    asked, folder = Sweep(recipe, grid, args.seeds, args.n), args.out or Path("runs") / f"{recipe.basics.name}-sweep"
    code = follow_to_the_end(lambda progress: run_sweep(asked, folder, progress=progress), at_once=True)
    if code != 0:
        return code
    table, whole = result(asked, folder)
    put(in_lines(table), end="")
    return 0 if whole else UNMEASURED
