"""A plain network handed to the C++: convolutions with SiLU between them, then one linear layer."""

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ebmnist.native.build import library


class Conv(NamedTuple):
    """One convolution on square images; a linear layer is one whose kernel covers its input."""

    weight: Tensor  # (out, in, k, k), float32
    bias: Tensor  # (out,)
    stride: int
    padding: int
    side: int  # of its input

    @property
    def side_out(self) -> int:
        """Side of its output."""
        return (self.side + 2 * self.padding - self.weight.shape[-1]) // self.stride + 1


class Walked(NamedTuple):
    """What a Langevin chain of n_steps leaves behind."""

    x: Tensor  # (B, 1, side, side)
    before: Tensor  # (B, 1, side, side), where the last step began
    grad: Tensor  # (B, 1, side, side), ∂E/∂x of the last step, before clipping
    energy: Tensor  # (n_steps, B), where the gradients were taken
    grad_norm: Tensor  # (n_steps, B)
    share_clipped: Tensor  # (n_steps, B)
    displacement: Tensor  # (n_steps, B)


class _Shape(ctypes.Structure):
    _fields_ = [
        (n, ctypes.c_int32) for n in ("c_in", "h_in", "w_in", "c_out", "h_out", "w_out", "kernel", "stride", "pad")
    ]


class _Langevin(ctypes.Structure):
    _fields_ = [("n_steps", ctypes.c_int32), ("noise_first", ctypes.c_int32)] + [
        (n, ctypes.c_float) for n in ("drift", "clip", "clip_norm", "low", "high")
    ]


class Packed:
    """A network's weights in the order the C++ reads them: a copy, which does not follow later changes.

    E(x) = head · SiLU(conv(… SiLU(conv(scale·x + shift)))) + b + bowl/2 · ‖x + shift/scale‖². Images are
    (B, 1, side, side), float32, on the CPU.

    Args:
        convs: in order; the first takes one channel.
        head: weight (1, n) and bias (1,) of the last linear layer.
        scale: of the pixels, before `shift` is added.
        shift: what a padded pixel is equal to, once scaled, is 0.
        bowl: curvature of the quadratic beside the network, about the pixel that a padded one is equal to.
        bf16: multiply in bfloat16, summing in float32; False for float32 throughout.
    """

    def __init__(
        self,
        convs: Sequence[Conv],
        head: tuple[Tensor, Tensor],
        scale: float,
        shift: float,
        *,
        bowl: float = 0.0,
        bf16: bool,
    ) -> None:
        functions = library()
        assert functions is not None, "ask library() first"
        self._lib = functions
        self.bf16 = bf16
        # A stride of 2 on one channel leaves vector units idle; on 2 × 2 pixels as four channels it is a stride of 1.
        self._folds = (
            convs[0].weight.shape[1] == 1 and convs[0].stride == 2 and not (convs[0].padding | convs[0].side) % 2
        )
        self._first = first = convs[0]
        self._convs = [_folded(convs[0]) if self._folds else convs[0], *convs[1:]]
        pixels = torch.arange(first.side**2, dtype=torch.int32).view(1, 1, first.side, first.side)
        order = functional.pixel_unshuffle(pixels, 2).flatten().contiguous() if self._folds else pixels
        self._head = head[0].detach().float().contiguous()
        shapes = (_Shape * len(convs))(*map(_shape, self._convs))
        weights = [c.weight.detach().contiguous(memory_format=torch.contiguous_format) for c in self._convs]
        biases = [c.bias.detach().contiguous() for c in self._convs]
        self._handle = ctypes.c_void_p(
            functions.pack(
                int(bf16), len(shapes), shapes, _addresses(weights), _addresses(biases), _address(self._head),
                ctypes.c_float(head[1].item()), ctypes.c_float(scale), ctypes.c_float(shift), ctypes.c_float(bowl),
                _address(order),
            )
        )  # fmt: skip

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._lib.release(self._handle)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Packed":
        return self  # it never changes

    def takes(self, x: Tensor) -> bool:
        """Whether `x` is a batch of images as this network was packed for."""
        side = self._first.side
        return x.device.type == "cpu" and x.dtype == torch.float32 and x.shape[1:] == (1, side, side) and len(x) > 0

    def energy(self, x: Tensor) -> Tensor:
        """E(x), (B,)."""
        return self._evaluated(x, None)

    def energy_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """E(x), (B,), and ∂E/∂x, like x."""
        grad = torch.empty(x.shape)
        return self._evaluated(x, grad), grad

    def weight_grad(self, x: Tensor, coefficients: Tensor) -> list[Tensor]:
        """∂/∂θ of Σ coefficientsᵢ E(xᵢ): weight and bias of each convolution, then of the head."""
        images, c = x.detach().contiguous(), coefficients.detach().float().contiguous()
        weights = [torch.empty(conv.weight.shape) for conv in self._convs]
        biases = [torch.empty(conv.bias.shape) for conv in self._convs]
        head = torch.empty_like(self._head)
        self._lib.weight_grad(
            self._handle, _address(images), len(x), _address(c), _addresses(weights), _addresses(biases),
            _address(head), torch.get_num_threads(),
        )  # fmt: skip
        if self._folds:
            weights[0] = _unfolded(weights[0], self._first.weight.shape[-1])
        pairs = [t for pair in zip(weights, biases, strict=True) for t in pair]
        return [*pairs, head, c.sum()[None]]

    def langevin(
        self,
        x: Tensor,
        sigmas: Tensor,
        keys: Tensor,
        *,
        drift: float,
        clip: float | None,
        clip_norm: float | None,
        clamp: tuple[float, float] | None,
        noise_first: bool,
        slacks: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Walked:
        """Move chains by one step per row of `sigmas`, the noise's standard deviation.

        Args:
            x: (B, 1, side, side).
            sigmas: (n_steps, B), or (n_steps, 1) for all chains alike, ≥ 0.
            keys: (n_steps,) int64; each seeds the noise of one step, chain by chain.
            drift: ε²/2.
            clip: as in `sampling.Langevin`, like `clip_norm`, `clamp` and `noise_first`.
            slacks: how far beyond `clamp` each step may lead, as sigmas; 0 if not given.
            noise: standard normal numbers to use in place of drawn ones, (n_steps, B, 1, side, side).
        """
        n_steps, free = len(sigmas), float("inf")
        low, high = clamp or (-free, free)
        settings = _Langevin(n_steps, noise_first, drift, clip or free, clip_norm or free, low, high)
        moved = x.detach().clone(memory_format=torch.contiguous_format)
        before, grad = torch.empty_like(moved), torch.empty_like(moved)
        seen = torch.empty(4, n_steps, len(x))
        slacks = torch.zeros(n_steps, 1) if slacks is None else slacks
        sigmas, slacks = (t.float().expand(n_steps, len(x)).contiguous() for t in (sigmas, slacks))
        keys = keys.contiguous()
        given = None if noise is None else noise.contiguous()
        self._lib.langevin_chain(
            self._handle, ctypes.byref(settings), _address(moved), len(x), _address(keys), _address(sigmas),
            _address(slacks), None if given is None else _address(given), _address(before), _address(grad),
            _address(seen), torch.get_num_threads(),
        )  # fmt: skip
        return Walked(moved, before, grad, *seen)

    def _evaluated(self, x: Tensor, grad: Tensor | None) -> Tensor:
        images, energy = x.detach().contiguous(), torch.empty(len(x))
        to = None if grad is None else _address(grad)
        self._lib.energy_and_grad(self._handle, _address(images), len(x), _address(energy), to, torch.get_num_threads())
        return energy


def _folded(conv: Conv) -> Conv:
    """The same convolution on 2 × 2 pixels as four channels, with a stride of 1."""
    out, _, k, _ = conv.weight.shape
    half = (k + 1) // 2
    whole = functional.pad(conv.weight.detach(), (0, 2 * half - k, 0, 2 * half - k))
    weight = whole.view(out, half, 2, half, 2).permute(0, 2, 4, 1, 3).reshape(out, 4, half, half)
    return Conv(weight, conv.bias, 1, conv.padding // 2, conv.side // 2)


def _unfolded(weight: Tensor, k: int) -> Tensor:
    """Undo `_folded` for a gradient: (out, 4, h, h) -> (out, 1, k, k)."""
    out, _, half, _ = weight.shape
    whole = weight.view(out, 2, 2, half, half).permute(0, 3, 1, 4, 2).reshape(out, 1, 2 * half, 2 * half)
    return whole[..., :k, :k].contiguous()


def _shape(conv: Conv) -> _Shape:
    out, inputs, k, _ = conv.weight.shape
    end = conv.side_out
    return _Shape(inputs, conv.side, conv.side, out, end, end, k, conv.stride, conv.padding)


def _address(t: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(t.data_ptr())


def _addresses(tensors: Sequence[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*(t.data_ptr() for t in tensors))
