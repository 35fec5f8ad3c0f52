"""The commands that use a trained model: say what it is, and pass it on."""

import argparse
import json
from collections.abc import Callable
from typing import Any

import yaml

from ebmnist.console import say
from ebmnist.errors import BadInput
from ebmnist.exporting import export as export_model
from ebmnist.native import engine
from ebmnist.output import put
from ebmnist.reporting import RunFolder, load_checkpoint
from ebmnist.reporting.history import in_words, read_history
from ebmnist.reporting.measurements import read_measurements_of, to_json
from ebmnist.reporting.tables import drawn_parts, parts_of
from ebmnist.trained import identity_of, make_trained


def info(args: argparse.Namespace, _: list[str]) -> int:
    """Say what a model is."""
    checkpoint = load_checkpoint(args.model)
    model = make_trained(checkpoint, args.model, "cpu")
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
        "engine here": engine(),
    }
    if (args.model / "recipe.yaml").is_file():
        facts |= _of_run(RunFolder.open(args.model), identity_of(checkpoint, args.model))
    else:
        facts |= {name: checkpoint.facts[name] for name in ("made", "resumed", "figures") if name in checkpoint.facts}
    put(json.dumps(facts, indent=1) if args.json else yaml.safe_dump(facts, sort_keys=False, allow_unicode=True))
    return 0


def _of_run(run: RunFolder, identity: dict[str, Any]) -> dict[str, object]:
    """What a run folder tells of the weights `model`: nothing that was measured or drawn of others."""
    pictures, left_out = drawn_parts(run.figures, identity["checkpoint"])
    shown = [picture for part in pictures for picture in part.pictures]
    facts: dict[str, object] = {"guard": _told(lambda: _guard(run)), "made": _told(run.read_environment)}
    if run.history.is_file():
        facts["resumed"] = _told(lambda: [in_words(session) for session in read_history(run.history)])
    not_shown = [left_out] if left_out else []
    if run.evaluation.is_file():
        try:
            measured = read_measurements_of(run.evaluation, identity)
        except BadInput as error:
            not_shown.append(str(error))
        else:
            facts["figures"] = to_json(measured)
            shown += [p for part in parts_of(measured, run.figures) for p in part.pictures]
    return facts | {"pictures": sorted(map(str, shown))} | ({"left out": not_shown} if not_shown else {})


def _guard(run: RunFolder) -> str:
    events = run.read_events()
    return f"{len(events)} events" + (f", the last: {events[-1].action.value}" if events else "")


def _told(read: Callable[[], object]) -> object:
    """What a file says, or why it cannot be read: the rest of what is known is shown all the same."""
    try:
        return read()
    except BadInput as error:
        return str(error)


def export(args: argparse.Namespace, _: list[str]) -> int:
    """Write a model without its training state."""
    say(f"wrote {export_model(args.model, args.out)}")
    return 0
