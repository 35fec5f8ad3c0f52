"""Runs the sections of the evaluation one by one."""

import json
import logging
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from ebmnist import evaluation
from ebmnist.errors import BadInput
from ebmnist.evaluation import REGISTRY, EvaluationContext, Unmeasurable
from ebmnist.evaluation.base import SectionResult
from ebmnist.evaluation.chain_length import ChainLength
from ebmnist.evaluation.ood import OutOfDistribution
from ebmnist.evaluation.outliers import given_sets
from ebmnist.evaluation.records import SectionRecord, record_of, record_to_json
from ebmnist.inference.scoring import energies
from ebmnist.random import Purpose, Rng
from ebmnist.ranks import ALONE, Ranks

log = logging.getLogger(__name__)

LONG = "chain_length"  # the section whose chains may be as long, and as many, as a reader has patience
# What sections say of themselves, in words that need no class name.
EXPECTED = (Unmeasurable, BadInput, torch.linalg.LinAlgError)  # type: ignore[attr-defined]
# For several ranks: those that take longest begin first, and what is not here comes after them. The chains of the first
# may be as long as somebody has patience.
LONGEST = (LONG, "likelihood", "fidelity", "denoising", "ood", "inpainting", "mixing", "restoration")
OUTLIERS = "ood"  # the section that takes outliers by folder


class SectionStarted(NamedTuple):
    """A section is about to be measured, which may take minutes."""

    name: str
    number: int  # from 1
    n_sections: int


class SectionDone(NamedTuple):
    """A section was measured, or could not be."""

    name: str
    outcome: SectionRecord | str  # a string says why not
    measured: SectionResult | None  # with the tensors for a picture; None where it could not be measured


def sections_asked_for(
    only: Collection[str] = (),
    *,
    quick: bool = False,
    long: int | None = None,
    chains: int | None = None,
    outliers: Sequence[Path] = (),
) -> dict[str, evaluation.Section]:
    """The sections by name, all of them if none is named, at full or `quick` sizes.

    `long` is the length of the chains of `chain_length`, in place of its own. `chains` is how many there are of each
    start. `outliers` are folders of IDX files. Each is one more set of outliers for `ood`.

    Raises:
        BadInput: an unknown section; a `long` that is too short, `chains` that are too few; a folder without test
            images in the format of MNIST; a `long`, `chains` or `outliers` that no section would use.
    """
    for name in only:
        if name not in REGISTRY:
            raise BadInput(f"section {name!r} is unknown: use {', '.join(REGISTRY)}")
    sections = {name: made.quick() if quick else made() for name, made in REGISTRY.items() if not only or name in only}
    if long is not None or chains is not None:
        if not isinstance(section := sections.get(LONG), ChainLength):
            raise BadInput(f"--long and --chains are for the section {LONG}, which --only leaves out")
        own = section.long, section.n
        sections[LONG] = replace(section, long=own[0] if long is None else long, n=own[1] if chains is None else chains)
    if outliers:
        if not isinstance(ood := sections.get(OUTLIERS), OutOfDistribution):
            raise BadInput(f"--outliers are for the section {OUTLIERS}, which --only leaves out")
        sections[OUTLIERS] = replace(ood, given=given_sets(outliers))
    return sections


def run_sections(
    context: EvaluationContext, sections: Mapping[str, evaluation.Section], *, seed: int, ranks: Ranks = ALONE
) -> Iterator[SectionStarted | SectionDone]:
    """Measure section by section; one that fails, whatever it raises, leaves the others alone.

    Of several ranks, each measures the next section whenever it is free.
    """
    glance = context.dataset.test.images[:100].to(context.device)
    names = [*sections] if ranks.size == 1 else sorted(sections, key=_place)
    for turn in ranks.turns(len(names)):
        section = sections[name := names[turn]]
        yield SectionStarted(name, turn + 1, len(names))
        # A stream of its own, so that a section's figures do not depend on which others were asked for.
        rng = Rng(seed, Purpose.EVALUATION + [*REGISTRY].index(name), context.device)
        begin = time.perf_counter()
        try:
            energies(context.energy, glance, "test")  # of a diverged model, before minutes of chains
            measured = section.measure(context, rng)
            _check(measured)
            outcome = record_of(measured, time.perf_counter() - begin)
            json.dumps(record_to_json(outcome), allow_nan=False)  # what could not be written fails here, alone
        except BrokenPipeError:  # of `progress`: whoever looked on has left
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, memory included, it costs this section alone
            yield SectionDone(name, f"{name}: {_why(error).removeprefix(f'{name}: ')}", None)
            continue
        yield SectionDone(name, outcome, measured)


def _place(name: str) -> int:
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def _why(error: Exception) -> str:
    (why, *_) = str(error).splitlines() or [""]
    return why if why and isinstance(error, EXPECTED) else unforeseen(error)


def unforeseen(error: Exception) -> str:
    """Return an exception's kind and message in one line; where it arose goes to the log."""
    log.debug("what was not foreseen", exc_info=error)
    (why, *_) = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {why}".removesuffix(": ")


def _check(measured: SectionResult) -> None:
    """Refuse figures that are no numbers. Raises: Unmeasurable."""
    invalid = [f.name for f in (*measured.metrics, *measured.baselines) if math.isnan(f.value)]
    if invalid:
        raise Unmeasurable(f"NaN is what was measured as {', '.join(invalid)}")
