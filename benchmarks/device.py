"""What does a GPU make of a chain: eager, compiled, and as one CUDA graph, against the tutorial's loop on it?

A chain of 60 steps on the tutorial's network. "eager" is a step as one function of x and noise, forward and input
gradient together; "compiled" is the same under `torch.compile`; "graph" replays a whole chain from one CUDA graph;
"run_chain" is what a user gets who asks for nothing. Without a GPU it says so and measures nothing.

  python benchmarks/device.py                                           a few minutes, most of it compiling
  python benchmarks/device.py --device cpu --batches 32 --rounds 1      without graphs, to try the script
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from contestants import OURS, SAME, TUTORIAL, same_weights, start
from ebmnist.energy.base import frozen
from ebmnist.energy.precision import computing_in
from ebmnist.sampling import Langevin, run_chain
from paired import Work, options, paired
from report import Table, publish
from tutorial import tutorial_chain, tutorial_net

STEPS = 60
KERNEL = Langevin()


def pure_step(net: nn.Module, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """`Langevin.step` as a function of x and standard noise alone: x ← clamp(x − (ε²/2)·clip(∇E) + ε√T ξ)."""

    def total(x: Tensor) -> Tensor:
        with computing_in("auto", device):
            return -net(2 * x - 1).float().sum()

    grad_of = torch.func.grad(total)
    drift, scale = 0.5 * KERNEL.step_size**2, KERNEL.step_size * KERNEL.temperature**0.5

    def step(x: Tensor, noise: Tensor) -> Tensor:
        grad = grad_of(x).clamp(-KERNEL.clip, KERNEL.clip)
        return (x - drift * grad + scale * noise).clamp(*KERNEL.clamp)

    return step


def looped(step: Callable[[Tensor, Tensor], Tensor], net: nn.Module, x: Tensor) -> Work:
    """A chain of `step`."""

    def run() -> Tensor:
        now = x
        with frozen(net), torch.no_grad():
            for _ in range(STEPS):
                now = step(now, torch.randn_like(now))
        return now

    return run


def captured(chain: Work) -> Work:
    """The whole chain as one CUDA graph; its random numbers go on from replay to replay."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # what is made at a first call must not be made while capturing
        for _ in range(3):
            chain()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        chain()
    return graph.replay


def works(batch: int, device: torch.device) -> dict[str, Work]:
    """All contestants at one batch."""
    torch.compiler.reset()  # another batch is another program, not a recompilation of the first
    net, x = tutorial_net().to(device), start(batch).to(device)
    rng = torch.Generator(device).manual_seed(0)
    same, energy = same_weights(net).to(device), same_weights(net, "auto").to(device)
    eager, compiled = pure_step(net, device), torch.compile(pure_step(net, device))
    found: dict[str, Work] = {
        TUTORIAL: lambda: tutorial_chain(net, 2 * x - 1, STEPS),
        f"{SAME}, run_chain": lambda: run_chain(same, Langevin(noise_first=True), x, STEPS, rng=rng),
        f"{OURS}, run_chain": lambda: run_chain(energy, KERNEL, x, STEPS, rng=rng),
        "ebmnist, eager": looped(eager, net, x),
        "ebmnist, compiled": looped(compiled, net, x),
    }
    if device.type == "cuda":
        found["ebmnist, graph of eager"] = captured(found["ebmnist, eager"])
        found["ebmnist, graph of compiled"] = captured(found["ebmnist, compiled"])
    return found


def finished(work: Work, device: torch.device) -> Work:
    """A work that ends when the device has."""
    if device.type != "cuda":
        return work

    def run() -> None:
        with torch.cuda.device(device) if device.index is not None else nullcontext():
            work()
            torch.cuda.synchronize()

    return run


def main() -> None:
    """Time the batches."""
    parser = options(__doc__)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"), help="cuda (default), or cpu")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 2048], help="chains (default 128 and 2048)")
    args = parser.parse_args()
    if args.device.type == "cuda" and not torch.cuda.is_available():
        print("device.py: no GPU here, nothing measured; on a machine with one: .venv/bin/python benchmarks/device.py")
        return
    torch.manual_seed(0)
    parts = []
    for batch in args.batches:
        chains = {name: finished(work, args.device) for name, work in works(batch, args.device).items()}
        times = paired(chains, rounds=args.rounds, repeats=3, warmup=3, per=STEPS)
        parts.append(Table(f"one step's share of a chain of {STEPS}, {batch:,} chains, {args.device.type}", times))
    publish("device", "A Langevin step: eager, compiled, graph", parts, out=args.out)


if __name__ == "__main__":
    main()
