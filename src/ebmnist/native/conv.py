"""One convolution of a plain network, and how the first of them is folded."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ebmnist.native.interface import Shape


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


def folded(conv: Conv) -> Conv:
    """The same convolution on 2 × 2 pixels as four channels, with a stride of 1."""
    out, _, k, _ = conv.weight.shape
    half = (k + 1) // 2
    whole = functional.pad(conv.weight.detach(), (0, 2 * half - k, 0, 2 * half - k))
    weight = whole.view(out, half, 2, half, 2).permute(0, 2, 4, 1, 3).reshape(out, 4, half, half)
    return Conv(weight, conv.bias, 1, conv.padding // 2, conv.side // 2)


def unfolded(weight: Tensor, k: int) -> Tensor:
    """Undo `folded` for a gradient: (out, 4, h, h) -> (out, 1, k, k)."""
    out, _, half, _ = weight.shape
    whole = weight.view(out, 2, 2, half, half).permute(0, 3, 1, 4, 2).reshape(out, 1, 2 * half, 2 * half)
    return whole[..., :k, :k].contiguous()


def shape_of(conv: Conv) -> Shape:
    """As the C++ has it."""
    out, inputs, k, _ = conv.weight.shape
    end = conv.side_out
    last = format_of(conv.weight) == torch.channels_last
    return Shape(inputs, conv.side, conv.side, out, end, end, k, conv.stride, conv.padding, last)


def format_of(weight: Tensor) -> torch.memory_format:
    """Which of the two formats that the C++ reads a weight has, or would take."""
    last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
