"""The multiply-adds that the limit is reckoned from, against torch's own counter and the figure of field and docs."""

import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ebmnist.energies import ConvNet

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from limit import layer_gemms, shares, step_multiply_adds
from tutorial import tutorial_net


def test_the_tutorials_network_takes_856128_an_image():
    gemms = layer_gemms(tutorial_net(), torch.zeros(1, 1, 28, 28))
    assert sum(gemm.multiply_adds for gemm in gemms) == 856_128


@pytest.mark.parametrize("width", [16, 32])
def test_a_step_counts_what_torch_counts(width):
    net, x = tutorial_net(width).requires_grad_(False), torch.rand(4, 1, 28, 28, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        net(x).sum().backward()
    assert 2 * step_multiply_adds(layer_gemms(net, x)) == counter.get_total_flops()


def test_the_plain_network_has_the_energys_layers():
    for width in (16, 32):
        ours, plain = ConvNet(width=width), tutorial_net(width)
        assert [p.shape for p in ours.parameters()] == [p.shape for p in plain.parameters()]


def test_a_step_at_the_peaks_rate_reaches_all_of_it():
    times = {
        "ebmnist, a Langevin step": [1.0],
        "ebmnist, the weight gradient": [0.5],
        "its products alone, fp32": [0.5],
        "its products alone, bf16": [0.25],
        "one 2048³ product, fp32": [1.0],
        "one 2048³ product, bf16": [0.5],
    }
    found = shares(times, multiply_adds=2048**3)
    assert list(found.values()) == [[100.0], [100.0], [50.0], [50.0], [25.0]]
    assert list(found)[-1] == "a Langevin step: of its products alone, bf16"  # the better of the two
