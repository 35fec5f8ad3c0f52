"""How this process was launched: alone, or as one of several ranks.

`torchrun`, or whatever sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, starts ranks.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from ebmnist.errors import BadInput, ToldElsewhere
from ebmnist.ranks import ALONE, WAIT, Ranks, reason
from ebmnist.waiting import Waiting

LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def join() -> Iterator[Ranks]:
    """Join the ranks that this process was started with, and leave them at the end; `ALONE` where there are none.

    Tensors on a CPU travel by gloo, those on a GPU by NCCL. The GPU of a rank is that of its LOCAL_RANK.

    Raises:
        BadInput: the others cannot be reached, or the port is taken.
    """
    if not set(LAUNCHED) <= os.environ.keys():
        yield ALONE
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        backend = f"cpu:gloo,cuda:{'nccl' if distributed.is_nccl_available() else 'gloo'}"
    try:
        store, rank, size = next(rendezvous("env://", timeout=WAIT))
        # torchrun keeps its store when it starts a job again: what the dead ranks left there must not be found.
        store = distributed.PrefixStore(f"start-{_starts()}", store)  # type: ignore[attr-defined]
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=WAIT)
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        said = f"cannot meet the other ranks at {place} ({reason(error)}); start them all, at a free port"
        raise BadInput(said) from error
    store = distributed.PrefixStore("ranks", store)  # type: ignore[attr-defined]
    waiting = Waiting(store, rank, size) if size > 1 else None
    try:
        yield Ranks(rank, size, joined=True, store=store, waiting=waiting)
    finally:
        if waiting is not None:
            waiting.end()
        distributed.destroy_process_group()


def check_single(what: str) -> None:
    """Refuse to do in several ranks what one process does. Raises: BadInput by rank 0, ToldElsewhere by the others."""
    if set(LAUNCHED) <= os.environ.keys() and os.environ["WORLD_SIZE"] != "1":
        if os.environ["RANK"] != "0":
            raise ToldElsewhere("rank 0 says why")
        raise BadInput(f"{what}: is done by one process; start it without torchrun")


def was_restarted() -> bool:
    """Whether `torchrun --max-restarts` has started this job again, after a rank had died."""
    return _starts() != "0"


def _starts() -> str:
    """How often `torchrun` has started this job again."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
