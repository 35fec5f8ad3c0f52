"""How fast are a Langevin step and a chain of 60, against the tutorial's loop, torchebm, ebmkit, JAX and PyTorch?

PyTorch is the same step three times: channels-last for oneDNN, with products in bfloat16, and by `torch.compile`.

All on the tutorial's network with the same weights, in its settings, from the same 128 starts, in one process, in turn.
Peers are optional: `.venv/bin/pip install -r benchmarks/requirements.txt`; one that is missing is named and left out.

  python benchmarks/peers.py               about a minute on two cores
  python benchmarks/peers.py --rounds 2    a trial
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from contestants import (
    OURS,
    SAME,
    SAME_AUTO,
    TUTORIAL,
    Chains,
    ours,
    ours_as_the_tutorial,
    ours_as_the_tutorial_auto,
    start,
    tutorial,
)
from paired import options, paired
from peer_chains import ebmkit_chain, jax_chain, pytorch_chain, pytorch_step, torchebm_chain
from report import Table, publish, versions
from tutorial import tutorial_net

STEPS = 60
PEERS: dict[str, Callable[[nn.Sequential, Tensor], Chains]] = {
    "torchebm": torchebm_chain,
    "ebmkit": ebmkit_chain,
    "jax": jax_chain,
}
PYTORCH = {
    "PyTorch, channels-last": lambda net: pytorch_step(net),
    "PyTorch, channels-last, bfloat16": lambda net: pytorch_step(net, torch.bfloat16),
    "PyTorch, torch.compile": lambda net: torch.compile(pytorch_step(net)),
}
LABELS = {"torchebm": "torchebm, LangevinDynamics", "ebmkit": "ebmkit, LangevinDynamics", "jax": "JAX, jit + lax.scan"}
NOTES = (
    f"All fp32 but PyTorch's bfloat16, “{SAME_AUTO}” and “{OURS}”. Their `auto` is bfloat16 products on AMD's "
    f"AVX512_BF16, fp32 elsewhere. JAX, PyTorch and “{SAME}”, auto or not, do what the tutorial does step by step; "
    "ebmkit and our default add the noise after the gradient; torchebm does too, and clips no gradient.",
)


def contestants(net: nn.Sequential, x: Tensor) -> dict[str, Chains]:
    """All that are installed; each missing one is named in a line."""
    found = {TUTORIAL: tutorial(net, x)}
    found |= {name: pytorch_chain(step(net), x) for name, step in PYTORCH.items()}
    for package, make in PEERS.items():
        try:
            found[LABELS[package]] = make(net, x)
        except ImportError:
            print(f"{package} is not installed: left out (.venv/bin/pip install -r benchmarks/requirements.txt)")
    mine = {SAME: ours_as_the_tutorial, SAME_AUTO: ours_as_the_tutorial_auto, OURS: ours}
    return found | {name: make(net, x) for name, make in mine.items()}


def main() -> None:
    """Time the two lengths."""
    args = options(__doc__).parse_args()
    torch.manual_seed(0)
    chains = contestants(tutorial_net(), start())

    def table(title: str, n_steps: int, repeats: int) -> Table:
        works = {name: partial(chain, n_steps) for name, chain in chains.items()}
        return Table(title, paired(works, rounds=args.rounds, repeats=repeats, per=n_steps))

    long = table(f"one step's share of a chain of {STEPS}, 128 chains", STEPS, 1)
    short = table("a chain of one step, 128 chains", 1, 10)
    parts = [long, *(long.ahead(mine) for mine in (SAME, SAME_AUTO, OURS)), short]
    facts = versions("torchebm", "ebmkit", "jax", "jaxlib")
    publish("peers", "A Langevin step, against its peers", parts, out=args.out, notes=NOTES, facts=facts)


if __name__ == "__main__":
    main()
