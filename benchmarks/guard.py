"""What does the guard do about each fault of tests/faults.py, on real MNIST, and what happens without it?

python benchmarks/guard.py [--healthy 120] [--width 32]
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from ebmnist.config import Recipe, load_recipe
from ebmnist.data import MNIST
from ebmnist.reporting.environment import describe_environment
from ebmnist.training import Action, Decision, Diverged, Snapshot, StepRecord, TrainState, fit

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))  # the faults are the tests' own
from faults import FAULTS, Fault  # noqa: E402

Run = Iterator[tuple[StepRecord, Decision]]
HEALTHY = {Action.HEALTHY, Action.LR_RESTORED}
N_HEALTHY = 20  # healthy updates in a row that count as healthy again
LONGEST = 120  # updates a guarded run is given
UNGUARDED = 30  # updates an unguarded run is watched

COLUMNS = {
    "fault": "fault",
    "detected": "detected after",
    "healthy": "healthy after",
    "answers": "answers",
    "unguarded": f"without the guard, {UNGUARDED} updates later",
}


def warmed(recipe: Recipe, images: Tensor, n_updates: int) -> tuple[Snapshot, StepRecord, int]:
    """A healthy run's snapshot after `n_updates`, its last record, and how many false alarms it gave."""
    state = recipe.make_state()
    updates = islice(fit(state, images), n_updates)
    seen = list(track(updates, "warming up", n_updates, transient=True))
    return state.snapshot(), seen[-1][0], sum(decision.action not in HEALTHY for _, decision in seen)


def restored(recipe: Recipe, snapshot: Snapshot, images: Tensor, *, guarded: bool) -> tuple[TrainState, Run]:
    """A run one update after the snapshot."""
    state = recipe.overridden(["--training.guard.enabled", str(guarded).lower()]).make_state()
    state.restore(snapshot)
    run = fit(state, images)
    next(run)
    return state, run


def with_guard(state: TrainState, run: Run, fault: Fault) -> dict[str, Any]:
    """Inject once, then train until healthy again."""
    fault.inject(state)
    actions: list[Action] = []
    for _, decision in islice(run, LONGEST):
        actions.append(decision.action)
        ill = [i for i, action in enumerate(actions, 1) if action not in HEALTHY]
        if ill and len(actions) - ill[-1] >= N_HEALTHY:
            break
    counts = Counter(action.name for action in actions if action not in HEALTHY)
    recovered = bool(ill) and len(actions) - ill[-1] >= N_HEALTHY
    return {
        "detected": ill[0] if ill else None,
        "healthy": ill[-1] if recovered else None,
        "answers": ", ".join(f"{name.lower().replace('_', ' ')} ×{n}" for name, n in counts.items()),
        "all_finite": not any(n for n, _ in not_finite(state).values()),
        "lr_factor": state.training.guard.lr_factor(state.guard_state),
    }


def with_a_fault_that_stays(state: TrainState, run: Run, fault: Fault) -> dict[str, Any]:
    """Inject before every update, until the guard gives up."""
    n_updates = 0
    try:
        for n_updates in range(LONGEST):  # noqa: B007 (how far it came is the finding)
            fault.inject(state)
            next(run)
    except Diverged as report:
        return {"detected": 1, "healthy": None, "answers": f"gave up after {n_updates}", "report": str(report)}
    return {"detected": 1, "healthy": None, "answers": f"no end after {LONGEST}"}


def without_guard(state: TrainState, run: Run, fault: Fault, usual: StepRecord) -> dict[str, Any]:
    """Inject once, train on regardless, and describe what is left."""
    fault.inject(state)
    records = [record for record, _ in islice(run, UNGUARDED)]
    broken, last = not_finite(state), records[-1]
    lost = ", ".join(
        f"{'all' if n == total else f'{n:,} of {total:,}'} {part}" for part, (n, total) in broken.items() if n
    )
    words = (
        f"not finite: {lost}"
        if lost
        else f"energies up to ± {max(r.energy_max for r in records):.3g} (was {usual.energy_max:.2g}), "
        f"diversity down to {min(r.diversity for r in records):.2f} (was {usual.diversity:.2f}); "
        f"at the end {last.energy_max:.3g} and {last.diversity:.2f}"
    )
    return {"unguarded": words, "not_finite": broken}


def not_finite(state: TrainState) -> dict[str, tuple[int, int]]:
    """How many numbers are not finite, of how many, by part of the state."""
    tensors = state.snapshot().tensors
    parts = {
        "weights": "energy.",
        "averaged weights": "ema.",
        "optimiser's numbers": "optimiser.",
        "pixels of chains": "start.images",
    }
    found = {}
    for part, prefix in parts.items():
        bad = torch.cat([~v.isfinite().flatten() for k, v in tensors.items() if k.startswith(prefix)])
        found[part] = int(bad.sum()), len(bad)
    return found


def publish(rows: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    """Print the table, and write it with machine, commit and versions to results/guard.json and guard.md."""
    table = Table(title="Guard: each fault with it and without", show_lines=True)
    lines = ["# Guard: each fault with it and without", "", "| " + " | ".join(COLUMNS.values()) + " |"]
    lines += ["|---|---|---|---|---|"]
    for title in COLUMNS.values():
        table.add_column(title)
    for row in rows:
        cells = ["–" if row.get(key) is None else str(row[key]) for key in COLUMNS]
        table.add_row(*cells)
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Counted in updates, rolled-back ones included; healthy: the next 20 gave no signal.", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items()]
    Console().print(table)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "guard.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (results / "guard.json").write_text(
        json.dumps({"facts": facts, "rows": rows}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def main() -> None:
    """Run it all; under five minutes on two idle cores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--healthy", type=int, default=120, help="healthy updates before the faults, > 100")
    parser.add_argument("--width", type=int, default=32, help="of the network; 32 is the default recipe's")
    args = parser.parse_args()
    recipe = load_recipe("mnist", ["--energy.width", str(args.width), "--training.n_updates", "1000000"])
    images = MNIST().load().train.images
    snapshot, usual, alarms = warmed(recipe, images, args.healthy)
    rows = []
    for fault in track(FAULTS, "injecting", transient=True):
        row = {"name": fault.name, "fault": fault.words}
        row |= with_guard(*restored(recipe, snapshot, images, guarded=True), fault)
        rows.append(row | without_guard(*restored(recipe, snapshot, images, guarded=False), fault, usual))
    stays = FAULTS[0]
    row = {"name": f"{stays.name}, always", "fault": f"{stays.words}, before every update"}
    rows.append(row | with_a_fault_that_stays(*restored(recipe, snapshot, images, guarded=True), stays))
    publish(rows, {"updates before the fault": args.healthy, "false alarms in them": alarms} | describe_environment())


if __name__ == "__main__":
    main()
