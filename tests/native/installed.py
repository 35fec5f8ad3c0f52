"""What an installed wheel does, wherever that is: the engine is in use, and computes what PyTorch does.

python tests/native/installed.py
"""

import sys

import torch

from ebmnist import EBM
from ebmnist.energies.fast import native_net_of
from ebmnist.native import engine, library
from ebmnist.native.interface import NEEDS
from ebmnist.native.variants import variants


def main() -> None:
    """Raise SystemExit unless all is well."""
    functions = library()
    if functions is None:
        raise SystemExit(f"no engine: {engine()}")
    runs = [name for name in variants() if NEEDS.get(name, 0) & functions.processor() == NEEDS.get(name, 0)]
    if engine() != runs[-1]:
        raise SystemExit(f"{engine()} is in use, and {runs[-1]} runs here")
    energy = EBM.from_pretrained("mnist-best").trained.energy
    x = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    fast = native_net_of(energy, low_precision=False)
    if fast is None:
        raise SystemExit("the trained energy is not computed by the engine")
    value, grad = fast.energy_and_grad(x)
    with torch.enable_grad():
        y = x.double().requires_grad_()
        expected = energy.double()(y)
        (slope,) = torch.autograd.grad(expected.sum(), y)
    torch.testing.assert_close(value.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad.double(), slope, rtol=0, atol=1e-4 * float(slope.abs().max()))
    sys.stdout.write(f"{engine()}: as PyTorch, {len(grad)} images\n")


if __name__ == "__main__":
    main()
