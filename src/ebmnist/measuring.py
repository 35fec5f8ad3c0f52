"""Measuring a model: its sections one by one, each on disk as soon as it is measured, then the report."""

import json
from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from ebmnist.data.base import Dataset
from ebmnist.errors import BadInput
from ebmnist.evaluation.base import EvaluationContext, ProgressCallback, unwatched
from ebmnist.evaluation.runner import SectionDone, run_sections, sections_asked_for, unforeseen
from ebmnist.events import Drawn, Event, Events, RanksAwaited, Undrawn
from ebmnist.random import check_seed
from ebmnist.ranks import ALONE, Ranks
from ebmnist.reporting import Checkpoint, load_checkpoint, new_folder
from ebmnist.reporting.environment import describe_environment
from ebmnist.reporting.history import read_history
from ebmnist.reporting.measurements import Measurements, add_measurements, from_json, to_json
from ebmnist.reporting.place import make_figures, tidy
from ebmnist.reporting.reading import readable
from ebmnist.reporting.tables import picture_of, write_page
from ebmnist.trained import Trained, identity_of, make_trained


def evaluate(
    path: Path,
    *,
    out: Path | None = None,
    quick: bool = False,
    only: Collection[str] = (),
    long: int | None = None,
    chains: int | None = None,
    outliers: Sequence[Path] = (),
    seed: int = 0,
    device: str | None = None,
    data_root: Path | None = None,
    checkpoint: Checkpoint | None = None,
    ranks: Ranks = ALONE,
    progress: ProgressCallback = unwatched,
) -> Generator[Event, None, dict[str, str]]:
    """Measure a run or checkpoint section by section, and write evaluation.json and report.html.

    Returns what could not be measured, and why, by section. Inside a section `progress` is told of the steps of long
    chains. Each section is on disk when the next one begins. A `KeyboardInterrupt`, at any instant, ends the
    measuring, and comes out again saying what was written. What an earlier evaluation of the same checkpoint has of
    other sections is kept.

    A run's go into its folder; a bare checkpoint's into `out`, which must not exist. `quick`, `only`, `long`, `chains`
    and `outliers` are those of `evaluation.runner.sections_asked_for`. The `device` is by default the
    recipe's own. Moved data are looked for in `data_root`. A caller that has read the run's checkpoint passes
    `checkpoint`; by default it is the latest.

    Of several `ranks`, each calls this, and measures sections as one process would. Rank 0 collects them, yields those
    of the others as well, and writes the report. It alone returns what could not be measured.

    Raises:
        BadInput: no such model, section, device or folder of outliers, a `long` that is too short, `chains` that
            are too few, or `out` is missing, or taken, or cannot be written.
    """
    check_seed(seed)
    with ranks.agreed():
        asked_for = sections_asked_for(only, quick=quick, long=long, chains=chains, outliers=outliers)
        folder = _place_for(path, out, ranks)
        checkpoint = load_checkpoint(path) if checkpoint is None else checkpoint
        model = make_trained(checkpoint, path, device, data_root)
        context = context_of(model, model.recipe.load_data(), checkpoint.tensors, progress)
    about = identity_of(checkpoint, path) | {"seed": seed, "quick": quick, "device": str(model.device)}
    measured, stopped = Measurements(about, describe_environment(), {}, {}), False
    file, history = folder / "evaluation.json", read_history(path / "history.jsonl")
    at_the_end = ranks.patient()
    try:
        with at_the_end.agreed():
            for event in run_sections(context, asked_for, seed=seed, ranks=ranks):
                yield event
                if isinstance(event, SectionDone):
                    yield from _filed(event, measured, make_figures(folder))
                    add_measurements(file, measured)
            if others := [name for name in asked_for if name not in measured.sections | measured.failures]:
                yield RanksAwaited(tuple(others))
        yield from _collected(measured, at_the_end)
    except KeyboardInterrupt:
        if not (measured.sections or measured.failures):
            raise KeyboardInterrupt("interrupted before a section was measured; nothing was written") from None
        stopped = True
    if ranks.first:
        whole = add_measurements(file, measured)
        yield Drawn(file)
        yield Drawn(write_page(folder, whole, history))
    if stopped:
        raise KeyboardInterrupt(_told(file, measured, asked_for, ranks))
    return measured.failures if ranks.first else {}


def context_of(
    model: Trained, dataset: Dataset, start: Mapping[str, Tensor], progress: ProgressCallback = unwatched
) -> EvaluationContext:
    """What the sections measure of a model; `start` has the buffer, by the names of a checkpoint."""
    replay, step_index = start.get("start.images"), start.get("start.step_index")
    own, at = (model.kernel, model.n_steps), model.device
    return EvaluationContext(
        model, *own, dataset, at, replay, step_index, progress, model.sampler(), model.stored_detector()
    )


def _place_for(path: Path, out: Path | None, ranks: Ranks) -> Path:
    """The folder that the evaluation goes to, which rank 0 makes, and can be written. Raises: BadInput."""
    with readable(path):
        is_run = (path / "recipe.yaml").is_file()
    if out is None and not is_run:
        raise BadInput(f"{path}: is a bare checkpoint; say where its evaluation goes, with --out FOLDER")
    if ranks.first and out is not None:
        new_folder(out)
    elif ranks.first:
        tidy(path)
    return path if out is None else out


def _filed(event: SectionDone, measured: Measurements, figures: Path) -> Events:
    """File what became of a section, and draw it."""
    name, outcome, to_draw = event
    if isinstance(outcome, str):
        measured.failures[name] = outcome
        return
    assert to_draw is not None
    about, commit = measured.model, measured.environment["commit"]
    measured.sections[name] = outcome._replace(quick=about["quick"], seed=about["seed"], commit=commit)
    picture = picture_of(name, figures)
    try:
        from ebmnist.reporting.plots import save_section  # imports Matplotlib: not while a run trains

        drawn = save_section(name, to_draw, picture, recipe=about["recipe"])
    except Exception as error:  # noqa: BLE001  whatever it is, memory included, it costs this picture alone
        measured.failures[name] = why = f"{name}: its picture, {unforeseen(error)}"
        yield Undrawn(name, why)
        return
    if drawn is not None:
        yield Drawn(picture)


def _collected(measured: Measurements, ranks: Ranks) -> Events:
    """Add what other ranks have measured to what rank 0 has, which tells of it."""
    every = [from_json(json.loads(text)) for text in ranks.texts(json.dumps(to_json(measured)))]
    for other in every[1:] if ranks.first else ():
        measured.sections.update(other.sections)
        measured.failures.update(other.failures)
        for name, section in other.sections.items():
            yield SectionDone(name, section, None)
        for name, why in other.failures.items():
            yield Undrawn(name, why) if name in other.sections else SectionDone(name, why, None)


def _told(file: Path, measured: Measurements, asked_for: Collection[str], ranks: Ranks) -> str:
    """What is said of an interrupted evaluation."""
    if ranks.size > 1:
        return f"interrupted; what the ranks measured is in {file}"
    missing = ", ".join(name for name in asked_for if name not in measured.sections)
    return f"interrupted; what was measured is in {file}, without {missing}"
