"""Deep energy-based models on MNIST you can trust: p(x) ∝ exp(−E(x)/T), trained, judged and put to use.

from ebmnist import EBM
ebm = EBM.from_pretrained("mnist-best")  # or a run folder
x = ebm.sample(64, seed=0)               # (64, 1, 28, 28), from noise
ebm.energy(x)                            # (64,), low is likely
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebmnist.ebm import EBM as EBM
    from ebmnist.energies import MLP as MLP
    from ebmnist.energies import ConvNet as ConvNet
    from ebmnist.errors import BadInput as BadInput
    from ebmnist.inference.descent import denoise as denoise
    from ebmnist.sampling import MALA as MALA
    from ebmnist.sampling import AnnealedLangevin as AnnealedLangevin
    from ebmnist.sampling import Langevin as Langevin
    from ebmnist.sampling import ReplayBuffer as ReplayBuffer
    from ebmnist.sampling import run_chain as run_chain
    from ebmnist.sampling import sample as sample
    from ebmnist.trained import load as load
    from ebmnist.training import ContrastiveDivergence as ContrastiveDivergence
    from ebmnist.training import Diverged as Diverged
    from ebmnist.training import Training as Training
    from ebmnist.training import TrainState as TrainState
    from ebmnist.training import fit as fit

__version__ = "0.1.0"

_HOMES = {
    "AnnealedLangevin": "sampling",
    "BadInput": "errors",
    "ContrastiveDivergence": "training",
    "ConvNet": "energies",
    "Diverged": "training",
    "EBM": "ebm",
    "Langevin": "sampling",
    "MALA": "sampling",
    "MLP": "energies",
    "ReplayBuffer": "sampling",
    "TrainState": "training",
    "Training": "training",
    "denoise": "inference.descent",
    "fit": "training",
    "load": "trained",
    "run_chain": "sampling",
    "sample": "sampling",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `ebmnist --help` need not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ebmnist' has no attribute {name!r}")
    return getattr(import_module(f"ebmnist.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
