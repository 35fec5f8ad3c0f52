"""A plain network handed to the C++: convolutions with SiLU between them, then one linear layer."""

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ebmnist.errors import BadInput
from ebmnist.native.buffers import address, addresses, empty, floats, given
from ebmnist.native.build import library
from ebmnist.native.conv import Conv, folded, format_of, shape_of, unfolded
from ebmnist.native.interface import Settings, Shape
from ebmnist.native.random import WORD, check_stream, checked_chains
from ebmnist.native.steps import StepNumbers


class NativeSegment(NamedTuple):
    """What a chain of n_steps leaves behind."""

    x: Tensor  # (B, 1, side, side)
    memory: Tensor | None  # (B, 1, side, side), where images are remembered
    before: Tensor  # (B, 1, side, side), where the last step began
    grad: Tensor  # (B, 1, side, side), ∂E/∂x of the last step's first evaluation, before clipping
    energy: Tensor  # (n_steps, B), at each step's first evaluation, as are the next two
    grad_norm: Tensor  # (n_steps, B)
    share_clipped: Tensor  # (n_steps, B)
    displacement: Tensor  # (n_steps, B)


class NativeNet:
    """A network's weights in the order the C++ reads them: a copy, which does not follow later changes.

    E(x) = head · SiLU(conv(… SiLU(conv(scale·x + shift)))) + b + reference_precision/2 · ‖x + shift/scale‖². Images are
    (B, 1, side, side), float32, on the CPU. Any number of threads may use one at once.

    Args:
        convs: in order; the first takes one channel.
        head: weight (1, n) and bias (1,) of the last linear layer.
        scale: of the pixels, before `shift` is added.
        shift: what a padded pixel is equal to, once scaled, is 0.
        reference_precision: κ of the quadratic reference term, about the pixel that a padded one is equal to.
        bf16: multiply in bfloat16, summing in float32; False for float32 throughout.

    Raises:
        BadInput: a weight that is not float32 on the CPU, or not of the shape that the others ask for.
    """

    def __init__(
        self,
        convs: Sequence[Conv],
        head: tuple[Tensor, Tensor],
        scale: float,
        shift: float,
        *,
        reference_precision: float = 0.0,
        bf16: bool,
    ) -> None:
        self._lib = given(library())
        if bf16 and not self._lib.has_bf16():
            raise BadInput("bf16: this processor, or the compiled engine in use, has no products of bfloat16")
        self.bf16 = bf16
        first = convs[0]
        # A stride of 2 on one channel leaves vector units idle; on 2 × 2 pixels as four channels it is a stride of 1.
        self._folds = first.weight.shape[1] == 1 and first.stride == 2 and not (first.padding | first.side) % 2
        self._first = first
        self._convs = [folded(first) if self._folds else first, *convs[1:]]
        self._side = first.side
        self._handle = self._packed(head, scale, shift, reference_precision)

    def _packed(
        self, head: tuple[Tensor, Tensor], scale: float, shift: float, reference_precision: float
    ) -> ctypes.c_void_p:
        """Lay the weights out, each checked; the shapes among each other are checked beyond the border."""
        pixels = torch.arange(self._side**2, dtype=torch.int32, device="cpu").view(1, 1, self._side, self._side)
        order = functional.pixel_unshuffle(pixels, 2).flatten().contiguous() if self._folds else pixels
        shapes = (Shape * len(self._convs))(*map(shape_of, self._convs))
        weights = [
            floats("weight", c.weight, (s.c_out, s.c_in, s.kernel, s.kernel), format_of(c.weight))
            for c, s in self._with(shapes)
        ]
        biases = [floats("bias", c.bias, (s.c_out,)) for c, s in self._with(shapes)]
        last = shapes[len(shapes) - 1]
        self._head_shape = (1, last.c_out * last.h_out * last.w_out)
        head_weight, head_bias = floats("head", head[0], self._head_shape), floats("head's bias", head[1], (1,))
        handle = ctypes.c_void_p()
        self._lib.pack(
            int(bool(self.bf16)), len(shapes), shapes, addresses(weights), addresses(biases), address(head_weight),
            head_bias.item(), scale, shift, reference_precision, address(order), ctypes.pointer(handle),
        )  # fmt: skip
        return handle

    def _with(self, shapes: Any) -> list[tuple[Conv, Any]]:
        return list(zip(self._convs, shapes, strict=True))

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._lib.release(self._handle)

    def __deepcopy__(self, memo: dict[int, Any]) -> "NativeNet":
        return self  # it never changes

    def takes(self, x: Tensor) -> bool:
        """Whether `x` is a batch of images as this network takes them."""
        shape = (1, self._side, self._side)
        plain = x.device.type == "cpu" and x.dtype == torch.float32 and x.layout == torch.strided
        return plain and x.shape[1:] == shape and len(x) > 0

    def energy(self, x: Tensor) -> Tensor:
        """E(x), (B,)."""
        return self._evaluated(x, None)

    def energy_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """E(x), (B,), and ∂E/∂x, like x."""
        grad = empty(*x.shape)
        return self._evaluated(x, grad), grad

    def record(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """E(x), (B,), to float32's usual rounding, and a record of x for `weight_grad`, (bytes,), uint8.

        The record holds what backpropagation multiplies, in the order it is read: 120 kB an image at width 32.
        """
        images, energy = self._images(x), empty(len(x))
        size = self._lib.record_size(self._handle, len(x))
        record = torch.empty(size, dtype=torch.uint8, device="cpu")
        self._lib.record(
            self._handle, address(images), len(x), address(energy), address(record), torch.get_num_threads()
        )
        return energy, record

    def weight_grad(self, record: Tensor, coefficients: Tensor) -> list[Tensor]:
        """∂/∂θ of Σ coefficientsᵢ E(xᵢ), of a record of x: weight and bias of each convolution, then of the head.

        Raises:
            BadInput: a record that is not of as many images as there are coefficients.
        """
        c, n = floats("coefficients", coefficients, coefficients.shape[:1]), len(coefficients)
        if n < 1 or record.numel() != self._lib.record_size(self._handle, n):
            raise BadInput(f"record: not of {n} images and this network")
        weights = [empty(*conv.weight.shape, memory_format=format_of(conv.weight)) for conv in self._convs]
        biases = [empty(*conv.bias.shape) for conv in self._convs]
        head = empty(*self._head_shape)
        self._lib.weight_grad(
            self._handle, address(record), n, address(c), addresses(weights), addresses(biases),
            address(head), torch.get_num_threads(),
        )  # fmt: skip
        if self._folds:
            weights[0] = unfolded(weights[0], self._first.weight.shape[-1])
        pairs = [t for pair in zip(weights, biases, strict=True) for t in pair]
        return [*pairs, head, c.sum()[None]]

    def langevin(
        self,
        x: Tensor,
        numbers: StepNumbers,
        *,
        seed: int,
        stream: int,
        chains: Tensor,
        first_step: int,
        clip: float | None,
        clip_norm: float | None,
        clamp: tuple[float, float] | None,
        noise_first: bool = False,
        evaluations: int = 1,
        memory: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> NativeSegment:
        """Move chains by one evaluation of the gradient per row of `numbers`, which says how.

        The noise of step i is `normals(seed, stream, chains, first_step + i, side²)`, pixel by pixel, row by row.

        Args:
            x: (B, 1, side, side).
            numbers: of every evaluation.
            seed: 0 … 2⁶³ − 1.
            stream: 0 … 2³² − 1: purpose and call.
            chains: (B,), int64, 0 … 2³² − 1: which stream each chain draws from.
            first_step: ≥ 0; no step may reach 2³².
            clip: as in `sampling.Langevin`, like `clip_norm`, `clamp` and `noise_first`.
            evaluations: of the gradient in each step, ≥ 1.
            memory: m before the first evaluation, (B, 1, side, side), where numbers have a `lead`. If it is not given,
                the first lead counts as 0.
            noise: standard normal numbers to use in place of drawn ones, (n_steps, B, 1, side, side).

        Raises:
            BadInput: a number out of its range, or a tensor of another kind or shape.
        """
        n_steps, free = len(numbers.sigma) // evaluations, float("inf")
        if n_steps < 1 or first_step + n_steps > WORD:
            raise BadInput(
                f"a chain goes from a step ≥ 0 for ≥ 1 steps to 2^32 at most, not {n_steps} from {first_step}"
            )
        check_stream(seed, stream, first_step)
        low, high = (-free, free) if clamp is None else clamp
        clip, clip_norm = (free if bound is None else bound for bound in (clip, clip_norm))
        settings = Settings(seed, stream, first_step, n_steps, noise_first, evaluations, clip, clip_norm, low, high)
        moved, chains = self._images(x).clone(), checked_chains(chains)
        if len(chains) != len(x):
            raise BadInput(f"chains must be one index for each of {len(x)} chains, not {len(chains)}")
        before, grad, seen = empty(*moved.shape), empty(*moved.shape), empty(4, n_steps, len(x))
        every = numbers.every(n_steps * evaluations, len(x), first=memory is None)
        drawn = None if noise is None else floats("noise", noise, (n_steps, *x.shape))
        if every.lead is not None:
            memory = torch.zeros_like(moved) if memory is None else self._images(memory).clone()
        self._lib.langevin_chain(
            self._handle, ctypes.pointer(settings), address(moved), len(x), address(chains), *map(address, every),
            address(drawn), address(memory), address(before), address(grad), address(seen), torch.get_num_threads(),
        )  # fmt: skip
        return NativeSegment(moved, memory, before, grad, *seen)

    def _images(self, x: Tensor) -> Tensor:
        if len(x) < 1:
            raise BadInput("images: there are none")
        return floats("images", x, (len(x), 1, self._side, self._side))

    def _evaluated(self, x: Tensor, grad: Tensor | None) -> Tensor:
        images, energy = self._images(x), empty(len(x))
        self._lib.energy_and_grad(
            self._handle, address(images), len(x), address(energy), address(grad), torch.get_num_threads()
        )
        return energy
