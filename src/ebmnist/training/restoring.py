"""What a checkpoint must hold to be taken up: the names, shapes, dtypes and ranges of the state that it is for."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ebmnist.errors import BadInput
from ebmnist.reading.schema import check, number, record, whole
from ebmnist.training.guard import GuardState
from ebmnist.training.running import Running
from ebmnist.training.state import Snapshot, TrainState

COUNT = whole(0, 2**62)
MEMORY = {name: COUNT for name in GuardState._fields if name != "running"}
RUNNING = {name: number(0) for name in Running._fields if name != "n_seen"}
FACTS = record(
    {
        "step": COUNT,
        "seed": whole(0),
        "guard": record(MEMORY | {"running": record(RUNNING | {"n_seen": COUNT}, closed=True)}, closed=True),
    },
    {"stream": COUNT},
)
MEND = "use a checkpoint that this recipe was trained with"
MOMENTS = ("exp_avg", "exp_avg_sq")


def check_snapshot(snapshot: Snapshot, state: TrainState, name: str) -> None:
    """Check that `state` can become what was read from the file `name`.

    Raises:
        BadInput: a fact or tensor is missing, of another shape or dtype, or out of its range.
    """
    tensors, facts = snapshot
    check(facts, FACTS, name, "use another checkpoint, or train again with: ebmnist train")
    own = state.snapshot(copied=False)
    if missing := sorted(own.facts.keys() - facts.keys()):
        raise BadInput(f"{name}: {missing[0]} is missing; {MEND}")
    for key, value in own.tensors.items():
        if "." in key:  # of a part, whose own check follows
            continue
        if key not in tensors or tensors[key].dtype != value.dtype:
            raise BadInput(f"{name}: {key!r} is missing, or not of {value.dtype}; {MEND}")
    check_weights(state.energy, _under(tensors, "energy."), name)
    check_weights(state.ema, _under(tensors, "ema."), name)
    _check_moments(state, _under(tensors, "optimiser."), name)
    check_buffer(tensors, name)


def check_weights(energy: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Check that an energy's weights, by their names in it, are what was read from the file `name`.

    Raises:
        BadInput: other names, shapes or dtypes than the energy's, or a value that is not finite.
    """
    own = energy.state_dict()
    if wrong := sorted(own.keys() ^ weights.keys()):
        raise BadInput(
            f"{name}: of another architecture: the weights {wrong[0]!r} are in one and not the other; {MEND}"
        )
    for key, value in sorted(weights.items()):  # a file's own order is another at each reading
        _check_like(value, own[key].shape, own[key].dtype, f"{name}: the weights {key!r}")
        _check_finite(value, f"{name}: the weights {key!r}")


def _check_moments(state: TrainState, tensors: Mapping[str, Tensor], name: str) -> None:
    parameters = list(state.energy.parameters())
    known: dict[str, Tensor] = {f"{i}.{key}": p for i, p in enumerate(parameters) for key in MOMENTS}
    known |= {f"{i}.step": torch.zeros(()) for i in range(len(parameters))}
    begun = {key for key in known if f"{key.partition('.')[0]}.step" in tensors}  # before its first update: none
    if wrong := sorted(begun ^ tensors.keys()):
        raise BadInput(f"{name}: the optimiser's {wrong[0]!r} is missing, or nothing it knows; {MEND}")
    for key, value in tensors.items():
        _check_like(value, known[key].shape, known[key].dtype, f"{name}: the optimiser's {key!r}")
        _check_finite(value, f"{name}: the optimiser's {key!r}")
        if not key.endswith("exp_avg") and bool((value < 0).any()):
            raise BadInput(f"{name}: the optimiser's {key!r} is negative; {MEND}")


def check_buffer(tensors: Mapping[str, Tensor], name: str) -> None:
    """Check a replay buffer's tensors, by their names in a checkpoint's file `name`.

    Raises:
        BadInput: images that are not float32 (N, 1, 28, 28), or none, (0,); or beside them other than N whole numbers.
    """
    buffer = _under(tensors, "start.")
    if not buffer:
        return
    n = len(buffer["images"]) if "images" in buffer and buffer["images"].ndim else 0
    expected = {key: torch.Size([n]) for key in ("age", "step_index", "lineage")} | {"n_born": torch.Size()}
    expected["images"] = torch.Size([n, 1, 28, 28] if n else [0])
    if wrong := sorted(expected.keys() - buffer.keys()):
        raise BadInput(f"{name}: the buffer's {wrong[0]!r} is missing; {MEND}")
    for key, shape in expected.items():
        dtype = torch.float32 if key == "images" else torch.int64
        _check_like(buffer[key], shape, dtype, f"{name}: the buffer's {key!r}")
        if key != "images" and bool((buffer[key] < 0).any()):
            raise BadInput(f"{name}: the buffer's {key!r} is negative; {MEND}")


def _check_like(value: Tensor, shape: torch.Size, dtype: torch.dtype, what: str) -> None:
    if value.shape != shape or value.dtype != dtype:
        found, expected = (
            f"{str(d).removeprefix('torch.')} {tuple(s)}" for d, s in ((value.dtype, value.shape), (dtype, shape))
        )
        raise BadInput(f"{what}: expected {expected}, not {found}; {MEND}")


def _check_finite(value: Tensor, what: str) -> None:
    if not bool(value.isfinite().all()):
        raise BadInput(f"{what}: not all of them are finite numbers; {MEND}")


def _under(tensors: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
