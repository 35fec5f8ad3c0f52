"""How near is a Langevin step to what this processor's matrix products can do?

A step is a forward pass and its input gradient, so two products a layer. Their multiply-adds, read off the layers'
shapes, over the step's time are set against the rate of a 2048³ `torch.matmul` in bf16 and fp32 in the same run, and
against the step's own products alone: matrices of the layers' shapes, multiplied one after another, nothing between.
A weight gradient is one product a layer. What it multiplies is recorded before, and not timed.

  python benchmarks/limit.py               under a minute on two cores
  python benchmarks/limit.py --rounds 2    a trial
"""

from functools import partial
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn

from contestants import BATCH, start
from ebmnist.energies import ConvNet
from ebmnist.sampling import Langevin, run_chain
from paired import Rounds, Work, options, paired
from report import Table, publish
from tutorial import tutorial_net

STEPS = 20
SIDE = 2048
WIDTHS = {"recipe mnist's network (width 32)": 32, "the tutorial's network (width 16)": 16}
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}
STEP, GRADIENT = "ebmnist, a Langevin step", "ebmnist, the weight gradient"
PRODUCTS, PEAK = "its products alone, {}", f"one {SIDE}³ product, {{}}"


class Gemm(NamedTuple):
    """One layer's product of (rows × inner) with (inner × columns)."""

    rows: int
    inner: int
    columns: int

    @property
    def multiply_adds(self) -> int:
        """Of the product."""
        return self.rows * self.inner * self.columns


def layer_gemms(net: nn.Module, x: Tensor) -> list[Gemm]:
    """The forward pass as products, one a layer; a convolution's is over unfolded patches, padding included."""
    found: list[Gemm] = []

    def extract(layer: nn.Module, _: object, out: Tensor) -> None:
        columns = layer.weight.shape[0]
        found.append(Gemm(out.numel() // columns, layer.weight[0].numel(), columns))

    hooks = [m.register_forward_hook(extract) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return found


def step_multiply_adds(gemms: list[Gemm]) -> int:
    """A step's: each layer's product, and as many again for its input gradient."""
    return 2 * sum(gemm.multiply_adds for gemm in gemms)


def gemm_chain(gemms: list[Gemm], dtype: torch.dtype) -> Work:
    """All products of a step one after another: forward, then input gradients from the last layer to the first."""
    operands = []
    for rows, inner, columns in [*gemms, *(Gemm(g.rows, g.columns, g.inner) for g in reversed(gemms))]:
        left, right = torch.randn(rows, inner, dtype=dtype), torch.randn(inner, columns, dtype=dtype)
        operands.append((left, right, torch.empty(rows, columns, dtype=dtype)))

    def run() -> None:
        for left, right, out in operands:
            torch.mm(left, right, out=out)

    return run


def peak_product(dtype: torch.dtype) -> Work:
    """A 2048³ product."""
    a, b = (torch.randn(SIDE, SIDE, dtype=dtype) for _ in range(2))
    return lambda: torch.matmul(a, b)


def weight_gradient(energy: ConvNet, x: Tensor) -> Work:
    """The weight gradient of recorded images, in the precision that training takes."""
    net = energy.native_net(low_precision=True)
    if net is None:
        raise SystemExit("limit.py: there is no compiled engine here, and nothing else records products")
    record, coefficients = net.record(x)[1], torch.linspace(-1, 1, len(x))
    return partial(net.weight_grad, record, coefficients)


def shares(times: Rounds, multiply_adds: int) -> Rounds:
    """What step and weight gradient reach of each peak's rate, and the step of its best products' rate; in %.

    `multiply_adds` is the step's, twice the weight gradient's.
    """
    found: Rounds = {}
    for name in (name for name in FORMATS if PEAK.format(name) in times):
        peaks = [SIDE**3 / t for t in times[PEAK.format(name)]]  # multiply-adds a millisecond
        for work, total in ((STEP, multiply_adds), (GRADIENT, multiply_adds // 2)):
            pairs = zip(times[work], peaks, strict=True)
            label = f"{work.removeprefix('ebmnist, ')}: of the {name} peak, {SIDE}³"
            found[label] = [100 * total / t / peak for t, peak in pairs]
    best = min((name for name in times if name.startswith(PRODUCTS.format(""))), key=lambda name: median(times[name]))
    found[f"a Langevin step: of {best}"] = [100 * b / t for b, t in zip(times[best], times[STEP], strict=True)]
    return found


def measure(what: str, width: int, rounds: int) -> list[Table]:
    """A network's rates, two operations a multiply-add, and the shares they come to."""
    energy, x, rng = ConvNet(width=width, reference_precision=0.0), start(), torch.Generator().manual_seed(0)
    gemms = layer_gemms(tutorial_net(width), x)  # the same layers, as plain modules
    # Without AVX-512 PyTorch's products of bfloat16 are a hundred times slower, and nobody takes them.
    formats = FORMATS if "AVX512" in torch.backends.cpu.get_cpu_capability() else {"fp32": torch.float32}
    total = step_multiply_adds(gemms)
    works: dict[str, Work] = {STEP: partial(run_chain, energy, Langevin(), x, STEPS, rng=rng)}
    works[GRADIENT] = weight_gradient(energy, x)
    works |= {PRODUCTS.format(name): gemm_chain(gemms, dtype) for name, dtype in formats.items()}
    works |= {PEAK.format(name): peak_product(dtype) for name, dtype in formats.items()}
    times = paired(works, rounds=rounds)
    times[STEP] = [t / STEPS for t in times[STEP]]
    done = {name: SIDE**3 if name.startswith("one") else total for name in times} | {GRADIENT: total // 2}
    rates = {name: [2 * done[name] / t / 1e6 for t in values] for name, values in times.items()}
    size = f"{total / 1e6:.0f} M multiply-adds a step"
    return [
        Table(f"{what}: {BATCH} chains, {size}", rates, "GFLOP/s", ratio=None),
        Table(f"{what}: what step and weight gradient reach", shares(times, total), "%", ratio=None),
    ]


def main() -> None:
    """Measure the two networks."""
    args = options(__doc__).parse_args()
    torch.manual_seed(0)
    parts = [table for what, width in WIDTHS.items() for table in measure(what, width, args.rounds)]
    publish("limit", "How near a Langevin step is to the processor's limit", parts, out=args.out)


if __name__ == "__main__":
    main()
