"""The architectures: sizes, shapes, and what each field does. What all must obey is in `contracts/`."""

import copy

import pytest
import torch
from torch import nn

from ebmnist.energies import MLP, REGISTRY, ConvNet, ResNet
from ebmnist.energies.layers import ACTIVATIONS, activation_layer, normalised
from ebmnist.errors import BadInput


def n_parameters(energy: nn.Module) -> int:
    return sum(p.numel() for p in energy.parameters())


def largest_singular_values(energy: nn.Module) -> list[float]:
    """Return σ₁ of every weight as the network uses it, flattened to (out, everything else)."""
    layers = [m for m in energy.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return [torch.linalg.matrix_norm(m.weight.detach().flatten(1), 2).item() for m in layers]


def test_the_tutorials_network():
    """Conv 1→16→32→64→64 with kernels 5, 3, 3, 3, then linear 256→64→1: 76,993 parameters (Lippe 2022)."""
    energy = ConvNet(width=16)
    assert n_parameters(energy) == 76_993
    shapes = [tuple(p.shape) for p in energy.parameters() if p.dim() > 1]
    assert shapes == [(16, 1, 5, 5), (32, 16, 3, 3), (64, 32, 3, 3), (64, 64, 3, 3), (64, 256), (1, 64)]


def test_the_default_network_is_twice_as_wide():
    assert n_parameters(ConvNet()) == 306_561


def test_the_convnet_is_the_tutorials_function(rng):
    """Against the same layers called one by one, on 2x − 1."""
    energy, x = ConvNet(width=3, reference_precision=0.0, precision="fp32"), torch.rand(5, 1, 28, 28, generator=rng)
    convs = [m for m in energy.modules() if isinstance(m, nn.Conv2d)]
    hidden, last = (m for m in energy.modules() if isinstance(m, nn.Linear))
    h = 2 * x - 1
    sides = []
    for conv in convs:
        h = nn.functional.silu(conv(h))
        sides.append(h.shape[-1])
    assert sides == [16, 8, 4, 2]
    torch.testing.assert_close(energy(x), last(nn.functional.silu(hidden(h.flatten(1))))[:, 0].float())


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_convnet_depths(depth):
    energy = ConvNet(width=2, depth=depth)
    assert energy(torch.rand(3, 1, 28, 28)).shape == (3,)
    assert sum(isinstance(m, nn.Conv2d) for m in energy.modules()) == depth


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_resnet_depths(depth):
    energy = ResNet(width=2, depth=depth)
    assert energy(torch.rand(3, 1, 28, 28)).shape == (3,)
    assert sum(isinstance(m, nn.Conv2d) for m in energy.modules()) == 1 + 3 * depth


def test_a_residual_block_by_hand(rng):
    block = ResNet(width=2, depth=1).net[1]
    first, second, skip = (m for m in block.modules() if isinstance(m, nn.Conv2d))
    x = torch.randn(2, 2, 8, 8, generator=rng)
    body = second(nn.functional.silu(first(nn.functional.silu(x))))
    torch.testing.assert_close(block(x), nn.functional.avg_pool2d(skip(x) + body, 2))


def test_an_mlp_by_hand():
    energy = MLP(n_inputs=2, width=3, depth=2, activation="elu")
    w = [p.detach() for p in energy.parameters()]
    x = torch.tensor([[0.3, -1.2]])
    h = nn.functional.elu(x @ w[0].T + w[1])
    h = nn.functional.elu(h @ w[2].T + w[3])
    torch.testing.assert_close(energy(x), (h @ w[4].T + w[5])[:, 0])


def test_an_mlp_flattens_its_samples(rng):
    energy, x = MLP(784, 4, 1), torch.rand(3, 1, 28, 28, generator=rng)
    assert torch.equal(energy(x), energy(x.flatten(1)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("key", REGISTRY)
def test_the_activation_is_the_one_named(key, activation):
    energy = REGISTRY[key](width=2, activation=activation)
    found = {type(m) for m in energy.modules() if isinstance(m, tuple(ACTIVATIONS.values()))}
    assert found == {ACTIVATIONS[activation]}
    assert energy(torch.rand(2, 1, 28, 28)).isfinite().all()


@pytest.mark.parametrize("gain", [1.0, 1.8])
@pytest.mark.parametrize("key", REGISTRY)
def test_spectral_norm_bounds_every_weight(key, gain):
    torch.manual_seed(0)
    plain, bounded = (REGISTRY[key](width=8, spectral_norm=on, spectral_gain=gain) for on in (False, True))
    for energy in (plain, bounded):
        with torch.no_grad():
            for p in energy.parameters():
                p.mul_(300)  # a last layer may begin with weights of a hundredth
        for _ in range(100):  # each training forward moves the power iteration one step
            energy(torch.rand(1, 1, 28, 28))
    assert all(sigma > 1.1 for sigma in largest_singular_values(plain))
    assert largest_singular_values(bounded) == pytest.approx([gain] * len(list(_layers(bounded))), rel=5e-3)


@pytest.mark.parametrize("key", REGISTRY)
def test_without_spectral_norm_its_gain_changes_nothing(key, rng):
    x, energies = torch.rand(2, 1, 28, 28, generator=rng), []
    for gain in (1.0, 2.0):
        torch.manual_seed(0)
        energies.append(REGISTRY[key](width=4, spectral_gain=gain))
    assert torch.equal(*(energy(x) for energy in energies))


@pytest.mark.parametrize("gain", [0.0, -1.0, float("inf"), float("nan")])
@pytest.mark.parametrize("key", REGISTRY)
def test_a_spectral_gain_that_is_none_is_refused(key, gain):
    with pytest.raises(BadInput, match="spectral_gain"):
        REGISTRY[key](width=4, spectral_norm=True, spectral_gain=gain)


def test_a_weight_that_is_set_is_scaled_back_to_its_gain():
    layer = normalised(nn.Linear(3, 2), True, 1.8)
    with torch.no_grad():
        layer.weight = torch.tensor([[5.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for _ in range(50):
        now = layer.weight
    torch.testing.assert_close(now, torch.tensor([[1.8, 0.0, 0.0], [0.0, 0.36, 0.0]]), atol=1e-4, rtol=1e-4)


def _layers(energy: nn.Module):
    return (m for m in energy.modules() if isinstance(m, nn.Linear | nn.Conv2d))


@pytest.mark.parametrize("key", REGISTRY)
def test_a_deep_copy_is_the_same_function_and_its_own_weights(key, rng):
    energy, x = REGISTRY[key](width=4, spectral_norm=True), torch.rand(3, 1, 28, 28, generator=rng)
    energy(x)
    twin = copy.deepcopy(energy).eval()
    energy.eval()
    assert torch.equal(energy(x), twin(x))
    with torch.no_grad():
        for p in energy.parameters():
            p.add_(0.1)
    assert not torch.equal(energy(x), twin(x))


@pytest.mark.parametrize("energy", [ConvNet(width=4), ResNet(width=4)], ids=["convnet", "resnet"])
def test_the_memory_layout_changes_no_value(energy, rng):
    x = torch.rand(4, 1, 28, 28, generator=rng)
    convs = [m for m in energy.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in convs)
    plain = copy.deepcopy(energy).to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(energy(x), plain(x))
    torch.testing.assert_close(energy(x.to(memory_format=torch.channels_last)), plain(x))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ConvNet(width=0), "convnet: width"),
        (lambda: ConvNet(depth=1), "convnet: .*depth"),
        (lambda: ConvNet(depth=6), "convnet: .*depth"),
        (lambda: ConvNet(activation="swish"), "activation 'swish' is unknown: use one of silu"),
        (lambda: ConvNet(precision="fp16"), "precision 'fp16' is unknown: use one of auto, fp32, bf16"),
        (lambda: ResNet(width=0), "resnet: width"),
        (lambda: ResNet(depth=0), "resnet: .*depth"),
        (lambda: ResNet(depth=5), "resnet: .*depth"),
        (lambda: ResNet(precision="half"), "precision 'half'"),
        (lambda: MLP(n_inputs=0), "mlp: n_inputs"),
        (lambda: MLP(width=0), "mlp: .*width"),
        (lambda: MLP(depth=0), "mlp: .*depth"),
        (lambda: activation_layer("relu"), "activation 'relu'"),
    ],
)
def test_bad_fields_are_named(make, named):
    with pytest.raises(BadInput, match=named):
        make()
