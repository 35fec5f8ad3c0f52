"""What is timed is the same thing: the same network, and the same chain within rounding, given the same noise."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ebmnist.energies import ConvNet
from ebmnist.sampling import Langevin, run_chain

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from contestants import same_weights, start
from peer_chains import ebmkit_chain, jax_chain, jax_energy, pytorch_chain, pytorch_step, torchebm_chain
from tutorial import tutorial_chain, tutorial_net

STEPS = 60
PEERS = {"torchebm": torchebm_chain, "ebm": ebmkit_chain, "jax": jax_chain}


@pytest.fixture
def net() -> nn.Sequential:
    """The tutorial's network, made steep enough that some components are clipped and others not."""
    net = tutorial_net()
    with torch.no_grad():
        net[-1].weight.mul_(1000)
    return net


def noise_of(kernel: Langevin, like: ConvNet, x: Tensor, seed: int) -> Tensor:
    """The noise that each step of a chain adds, (STEPS, *x.shape): where it goes on an energy that is flat."""
    flat = ConvNet(width=like.net[0].out_channels, reference_precision=0.0, precision="fp32")
    flat.load_state_dict({name: torch.zeros_like(value) for name, value in like.state_dict().items()})
    free = Langevin(kernel.step_size, kernel.temperature, clip=None, clamp=None, noise_first=kernel.noise_first)
    rng = torch.Generator().manual_seed(seed)
    segment = run_chain(flat, free, torch.zeros_like(x), STEPS, rng=rng, keep=range(STEPS + 1))
    assert segment.trajectory is not None
    return segment.trajectory.diff(dim=0)


def test_the_energy_is_the_tutorials_network(net):
    x = start(16)
    torch.testing.assert_close(same_weights(net)(x), -net(2 * x - 1).squeeze(1))


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("auto", 0.05)])
def test_the_chain_is_the_tutorials_own_given_the_same_noise(precision, tolerance, net, monkeypatch):
    """Within rounding, as a share of the way walked: float32's, or bfloat16's where `auto` takes it."""
    x, kernel, energy = start(16), Langevin(noise_first=True), same_weights(net, precision)
    noise = noise_of(kernel, energy, x, seed=3)
    assert noise.std().item() == pytest.approx(0.0025, rel=0.01)
    chain = run_chain(energy, kernel, x, STEPS, rng=torch.Generator().manual_seed(3))

    coming = iter(2 * noise)  # its pixels are in [−1, 1]
    monkeypatch.setattr(torch.Tensor, "normal_", lambda self, mean, std: self.copy_(next(coming)))  # noqa: ARG005
    expected = (tutorial_chain(net, 2 * x - 1, STEPS) + 1) / 2
    assert next(coming, None) is None
    assert (chain.x - expected).norm() < tolerance * (expected - x).norm()
    assert 0 < chain.last.share_clipped.mean() < 1
    assert ((chain.x == 0) | (chain.x == 1)).any()  # clip and clamp were both at work
    assert (chain.x - x).abs().max() > 0.1  # and it went somewhere


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_pytorchs_step_is_the_tutorials_own_given_the_same_noise(dtype, tolerance, net, monkeypatch):
    x = start(16)
    noise = torch.randn(STEPS, *x.shape, generator=torch.Generator().manual_seed(3))
    coming = iter(noise)
    step = pytorch_step(net, dtype)
    monkeypatch.setattr(torch, "randn_like", lambda _: next(coming))
    ended = pytorch_chain(step, x)(STEPS)
    again = iter(0.005 * noise)
    monkeypatch.setattr(torch.Tensor, "normal_", lambda self, mean, std: self.copy_(next(again)))  # noqa: ARG005
    expected = tutorial_chain(net, 2 * x - 1, STEPS)
    assert (ended - expected).norm() < tolerance * (expected - (2 * x - 1)).norm()


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_walks_the_same_way(name, net):
    """Its own noise is small beside the drift: it ends near the tutorial's chain, and far from the start."""
    pytest.importorskip(name)
    x = start(16)
    with torch.no_grad():
        net[-1].weight.div_(1000)  # gently, since torchebm clips no gradient
    ended = torch.tensor(PEERS[name](net, x)(STEPS).__array__())
    ended = ended.permute(0, 3, 1, 2) if name == "jax" else ended
    expected = tutorial_chain(net, 2 * x - 1, STEPS)
    torch.testing.assert_close(-net(ended).mean(), -net(expected).mean(), rtol=0.02, atol=1e-3)


def test_jax_has_the_same_network(net):
    pytest.importorskip("jax")
    x = 2 * start(4) - 1
    ours = torch.tensor(jax_energy(net)(x.permute(0, 2, 3, 1).contiguous().numpy()).__array__())
    torch.testing.assert_close(ours, -net(x).squeeze(1).detach(), rtol=1e-4, atol=1e-4)
