"""Checkpoints: a training state on disk as safetensors + JSON + checksums. Nothing is pickled.

A checkpoint is a folder `step-00001000/` with `tensors.safetensors`, `facts.json` and `checksums.json` (the format's
version and the SHA-256 of the other two). It is written whole or not at all, and read only if every byte is as written.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.reading import parse_json, read_bytes, read_json
from ebmnist.reading.schema import anything, check, list_of, mapping_of, record, text, whole
from ebmnist.reporting.atomic import remove_folder, standing, sweep, write_folder
from ebmnist.reporting.reading import look_again, readable
from ebmnist.reporting.tensors import tensors_of, tensors_to_bytes
from ebmnist.training.restoring import check_buffer

FORMAT = 1
# The checkpoints that come with the package, by the name that a model goes by.
PRETRAINED = Path(__file__).parents[1] / "pretrained"
TENSORS, FACTS, CHECKSUMS = "tensors.safetensors", "facts.json", "checksums.json"
LARGEST = {TENSORS: 8_000_000_000, FACTS: 16_000_000, CHECKSUMS: 10_000}  # bytes
MEND = "use another checkpoint, or train again with: ebmnist train"

# What every checkpoint says; what training owns beside it is checked by who takes it up (training/restoring.py).
FACTS_SCHEMA = record(
    {"step": whole(0)},
    {
        "seed": whole(0),
        "recipe": mapping_of(anything),
        "made": mapping_of(anything),
        "figures": mapping_of(anything),
        "journal_lines": list_of(whole(0), length=2),
    },
)
CHECKSUMS_SCHEMA = record({"format": whole(), "sha256": record({TENSORS: text(), FACTS: text()}, closed=True)})


class Checkpoint(NamedTuple):
    """A snapshot read back: tensors by name, on the CPU and contiguous, JSON facts by name, and the folder it is in."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    path: Path | None = None


class _Damaged(BadInput):
    """A checkpoint is not as it was written."""


def save_checkpoint(folder: Path, *, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
    """Write `folder/step-<facts["step"]>`, replacing one of that step, and return its path.

    A kill at any instant, or a full disk, leaves the last good checkpoint; what a killed save left is swept first.
    Tensors keep dtype, shape and bits; memory format, device and shared storage are not recorded.

    Raises:
        BadInput: the disk is full or the folder may not be written.
        ValueError: `facts` has no whole `step` ≥ 0, or something that JSON does not give back as it was.
    """
    step = facts.get("step")
    if type(step) is not int or step < 0:
        raise ValueError(f"facts['step'] must be a whole number ≥ 0, got {step!r}")
    sweep(folder)
    last = max(list_checkpoints(folder).items(), default=None)
    way_out = f", then resume; the last good checkpoint is {last[1]}" if last else ""
    return write_sealed(folder / f"step-{step:08d}", tensors, facts, way_out=way_out)


def write_sealed(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, way_out: str = "") -> Path:
    """Write or replace a folder of tensors, facts and their checksums. Raises: `BadInput` as `write_folder`."""
    contents = {TENSORS: tensors_to_bytes(tensors), FACTS: _facts_to_bytes(facts)}
    write_folder(path, contents | {CHECKSUMS: _checksums(contents)}, way_out=way_out)
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, or the latest of a run folder or of a folder of checkpoints.

    A writer beside may replace or remove what was found: then it is looked for again.

    Raises:
        BadInput: there is none, or it is incomplete, altered, truncated or of another format.
    """
    return look_again(path, lambda: _load(_latest(path)))


def _load(path: Path) -> Checkpoint:
    try:
        contents = read_sealed(path)
    except _Damaged as damage:
        raise BadInput(f"{damage}; {_way_out(path)}") from None
    facts = parse_json(contents[FACTS], str(path / FACTS), MEND)
    check(facts, FACTS_SCHEMA, str(path / FACTS), MEND)
    tensors = tensors_of(contents[TENSORS], str(path / TENSORS), MEND)
    check_buffer(tensors, str(path / TENSORS))
    return Checkpoint(tensors, facts, path)


def fingerprint(checkpoint: Checkpoint) -> str:
    """Twelve hexadecimal digits that tell a trained energy from others: of its averaged weights and its recipe."""
    weights = {name: tensor for name, tensor in checkpoint.tensors.items() if name.startswith("ema.")}
    recipe = json.dumps(checkpoint.facts.get("recipe"), sort_keys=True).encode()
    return hashlib.sha256(tensors_to_bytes(weights) + recipe).hexdigest()[:12]


def latest_checkpoint(path: Path) -> Path:
    """Return the newest checkpoint of a run folder or of a folder of checkpoints; a checkpoint is its own.

    `pretrained`, by its recipe `mnist-best`, comes with the package, unless there is a folder of that name.

    Raises:
        BadInput: nothing of the kind is there.
    """
    return look_again(path, lambda: _latest(path))


def _latest(path: Path) -> Path:
    if str(path) in ("pretrained", "mnist-best") and not path.exists():
        path = PRETRAINED
    if not path.is_dir() and _step_of(path.name) is not None:  # between the two renames of its replacement
        path = standing(path.parent).get(path.name, path)
    if not path.is_dir():
        mend = f"a checkpoint is a folder: try {path.parent}" if path.exists() else "no such folder: check the path"
        raise BadInput(f"{path}: {mend}")
    if any((path / name).exists() for name in (TENSORS, FACTS, CHECKSUMS)):
        return path
    found = list_checkpoints(path) or list_checkpoints(path / "checkpoints")
    if not found:
        is_run = (path / "recipe.yaml").is_file()
        mend = (
            f"begin it again with: ebmnist resume {path} --restart"
            if is_run
            else "choose another folder, or train first"
        )
        raise BadInput(f"{path}: no checkpoint in it; {mend}")
    return found[max(found)]


def list_checkpoints(folder: Path) -> dict[int, Path]:
    """Return the checkpoints in `folder`, step to path, oldest first; unread, so they may be damaged.

    Raises:
        BadInput: the folder may not be read.
    """
    with readable(folder):
        named = [(_step_of(name), path) for name, path in standing(folder).items()]
    return dict(sorted((step, path) for step, path in named if step is not None))


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` ≥ 1 checkpoints.

    Raises:
        ValueError: `keep` < 1.
    """
    if keep < 1:
        raise ValueError(f"keep must be ≥ 1, got {keep}")
    for path in list(list_checkpoints(folder).values())[:-keep]:
        remove_folder(path)


def prune_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of a later step: after a rewind or a rollback they belong to a past that is undone."""
    for later, path in list_checkpoints(folder).items():
        if later > step:
            remove_folder(path)


def _step_of(name: str) -> int | None:
    match = re.fullmatch(r"step-(\d{8,})", name)
    return int(match[1]) if match else None


def _facts_to_bytes(facts: Mapping[str, Any]) -> bytes:
    for name, fact in facts.items():
        try:
            same = parse_json(json.dumps(fact, allow_nan=False).encode(), name, "write another") == fact
        except (TypeError, ValueError) as error:
            raise ValueError(f"fact {name!r} is not JSON: {error}") from error
        if not same:
            raise ValueError(f"fact {name!r} would change in JSON (tuples and keys that are no text do): {fact!r}")
    return json.dumps(dict(facts), allow_nan=False, indent=1).encode()


def _checksums(contents: Mapping[str, bytes]) -> bytes:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return json.dumps({"format": FORMAT, "sha256": digests}, indent=1).encode()


def weights_digest(path: Path) -> str:
    """Return the SHA-256 of a checkpoint's tensors, as it is recorded there. Raises: BadInput."""
    return str(
        check(read_json(path / CHECKSUMS, MEND), CHECKSUMS_SCHEMA, str(path / CHECKSUMS), MEND)["sha256"][TENSORS]
    )


def read_sealed(path: Path) -> dict[str, bytes]:
    """Return the bytes of the tensors and facts in a folder, checked. Raises: `BadInput`, without a mend."""
    contents = {}
    for name in (TENSORS, FACTS, CHECKSUMS):
        if not (path / name).exists():
            raise _Damaged(f"{path / name}: missing")
        try:
            contents[name] = read_bytes(path / name, LARGEST[name])
        except BadInput as error:
            raise _Damaged(str(error)) from None
    checksums = contents.pop(CHECKSUMS)
    if checksums == _checksums(contents):
        return contents
    # Find out which of the three it is.
    try:
        recorded = check(parse_json(checksums, "", ""), CHECKSUMS_SCHEMA, "", "")
    except BadInput:
        raise _Damaged(f"{path / CHECKSUMS}: altered or truncated") from None
    if recorded["format"] != FORMAT:
        version = recorded["format"]
        raise BadInput(f"{path}: of format {version}, and this ebmnist reads {FORMAT}: use the one that wrote it")
    expected = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    changed = [name for name in expected if recorded["sha256"][name] != expected[name]]
    raise _Damaged(f"{path / (changed or [CHECKSUMS])[0]}: altered or truncated (its SHA-256 is not the recorded one)")


def _way_out(damaged: Path) -> str:
    """Name the nearest good checkpoint beside a damaged one, an older one first."""
    beside = list(list_checkpoints(damaged.parent).values())
    place = beside.index(damaged) if damaged in beside else len(beside)
    for which, candidates in (("before", beside[:place][::-1]), ("after", beside[place + 1 :])):
        for path in candidates:
            try:
                read_sealed(path)
            except BadInput:
                continue
            return f"use the one {which}: {path}"
    return "no good one is left beside it: train again with: ebmnist train"
