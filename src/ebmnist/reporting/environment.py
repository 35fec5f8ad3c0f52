"""What a run ran on: versions, machine, commit, command. Names no user and no host."""

import hashlib
import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import ebmnist
from ebmnist.reading.schema import either, flag, mapping_of, optional, text, whole
from ebmnist.training.fixed_sum import checksum
from ebmnist.training.state import Snapshot

# Of any version: it is shown and not computed with.
ENVIRONMENT_SCHEMA = mapping_of(optional(either(text(), flag, whole())))


def describe_environment() -> dict[str, str | int | bool | None]:
    """Return the facts of `env.json`; None where this machine does not say."""
    processor, amx = _processor()
    commit, dirty = _commit()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command(),
        "ebmnist": ebmnist.__version__,
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": processor,
        "amx": amx,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def digests(recipe: str, images: Tensor, state: Snapshot) -> dict[str, str]:
    """Digests, by name, of what the ranks of one run must have alike: code, versions, recipe, data and state."""
    code = hashlib.sha256()
    for path in sorted(Path(ebmnist.__file__).parent.rglob("*.py")):
        code.update(path.read_bytes())
    return {
        "code": code.hexdigest()[:12],
        "version of torch": torch.__version__,
        "recipe": hashlib.sha256(recipe.encode()).hexdigest()[:12],
        "data": f"{checksum([images]):x}",
        "state": f"update {state.facts['step']}, {checksum(state.tensors.values()):x}",
    }


def _processor() -> tuple[str | None, bool | None]:
    """Return the processor's model, and whether it multiplies matrices in AMX tiles."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or None, None
    model, flags = (re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE) for key in ("model name", "flags"))
    return model[1] if model else platform.machine(), "amx_tile" in flags[1].split() if flags else False


def _commit() -> tuple[str | None, bool | None]:
    """Return the commit of the working copy this package is imported from, and whether it has changed since."""
    # An installed copy may lie inside somebody else's repository: only one that tracks this very package counts.
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return commit, None if changes is None else bool(changes)


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *words],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _command() -> str:
    """Return the command line, with the home folder as ~ and the user's and host's names out of its paths."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path("~")
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    if home != Path(home.anchor):
        command = re.sub(rf"(?<![\w.~/-]){re.escape(str(home))}(?![^/\s'])", "~", command)
    private = "|".join(re.escape(name) for name in (home.name, platform.node()) if name)
    return re.sub(rf"(?<=/)({private})(?=[/\s']|$)", "…", command) if private else command
