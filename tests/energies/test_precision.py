"""bfloat16: when `auto` takes it, and how far it may take the energy from float32."""

from contextlib import nullcontext

import pytest
import torch
from torch.backends import cudnn

from ebmnist.energies import ConvNet, ResNet, base, convnet, energy_and_grad
from ebmnist.energies.precision import computing_in, in_full, uses_bf16

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


def pair(architecture, **fields):
    """Return the same network at both precisions."""
    fp32, bf16 = (architecture(width=8, precision=p, **fields) for p in ("fp32", "bf16"))
    bf16.load_state_dict(fp32.state_dict())
    return fp32, bf16


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("architecture", [ConvNet, ResNet])
def test_bf16_is_close_to_fp32(architecture, spectral_norm, images):
    fp32, bf16 = pair(architecture, spectral_norm=spectral_norm)
    fp32.eval(), bf16.eval()
    exact, grad = energy_and_grad(fp32, images)
    rounded, rounded_grad = energy_and_grad(bf16, images)
    assert rounded.dtype == rounded_grad.dtype == torch.float32
    assert not torch.equal(rounded, exact)  # it really computed in another format
    with torch.no_grad():  # E is a sum that nearly cancels in a fresh network: judge by the size of what is summed
        summed = fp32.net(2 * images - 1).norm(dim=1) * fp32.head.weight.norm()
    assert ((rounded - exact).abs() < 0.02 * summed).all()
    assert (rounded_grad - grad).norm() < 0.03 * grad.norm()


@pytest.mark.parametrize("architecture", [ConvNet, ResNet])
def test_energies_are_not_rounded_to_bf16(architecture, images):
    """A last sum in bfloat16 would leave 8 bits: images would tie, and MALA could not see small differences."""
    energy = architecture(width=8, precision="bf16")
    with torch.no_grad():
        energy.head.bias.fill_(10.0)
        values = energy(images)
    assert (values != values.bfloat16().float()).float().mean() > 0.9


def test_weights_and_their_gradients_stay_float32(images):
    energy = ConvNet(width=4, precision="bf16")
    energy(images).sum().backward()
    assert {p.dtype for p in energy.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in energy.parameters()} == {torch.float32}


def test_a_network_in_double_stays_in_double():
    energy = ConvNet(width=2, precision="fp32").double()
    assert energy(torch.rand(2, 1, 28, 28, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("low_precision", [True, False])
@pytest.mark.parametrize("device", [CPU, CUDA, MPS])
def test_a_named_precision_is_taken_at_its_word(device, low_precision):
    assert uses_bf16("bf16", device, low_precision=low_precision)
    assert not uses_bf16("fp32", device, low_precision=low_precision)


@pytest.mark.parametrize("has_amx", [True, False])
def test_auto_on_a_processor_asks_for_amx(has_amx, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_amx, raising=False)
    assert uses_bf16("auto", CPU, low_precision=True) is has_amx
    assert not uses_bf16("auto", MPS, low_precision=True)


@pytest.mark.parametrize("architecture", [ConvNet, ResNet])
def test_auto_reads_numbers_in_float32_and_learns_in_bf16(architecture, images, monkeypatch):
    """As PyTorch computes them where there are AMX tiles."""
    monkeypatch.setattr(convnet, "library", lambda: None)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    energy, exact = (architecture(width=4, precision=p) for p in ("auto", "fp32"))
    exact.load_state_dict(energy.state_dict())
    grads = [torch.autograd.grad(e(images).sum(), e.head.weight)[0] for e in (energy, exact)]
    assert not torch.equal(*grads)
    values = [energy_and_grad(e.eval(), images) for e in (energy, exact)]
    assert torch.equal(values[0][0], values[1][0])
    assert torch.equal(values[0][1], values[1][1])


def test_auto_is_float32_where_torch_cannot_say(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert not uses_bf16("auto", CPU, low_precision=True)


SWITCHES = [(torch.backends, "fp32_precision"), (cudnn, "fp32_precision"), (cudnn.conv, "fp32_precision")]


@pytest.fixture
def _switches_are_put_back():
    before = [getattr(*switch) for switch in SWITCHES]
    yield
    for (where, name), value in zip(SWITCHES, before, strict=True):
        setattr(where, name, value)


@pytest.mark.usefixtures("_switches_are_put_back")
@pytest.mark.parametrize(
    ("where", "name", "value"),
    [*((where, name, value) for where, name in SWITCHES for value in ("tf32", "ieee")), (cudnn, "allow_tf32", False)],
)
def test_on_a_gpu_float32_is_in_full_where_numbers_are_read(where, name, value):
    setattr(where, name, value)
    before = [getattr(*switch) for switch in SWITCHES]
    with computing_in("auto", CUDA, low_precision=True):
        assert [getattr(*switch) for switch in SWITCHES] == before
    with in_full(CUDA), computing_in("auto", CUDA, low_precision=False):
        assert cudnn.conv.fp32_precision == "ieee"
    assert [getattr(*switch) for switch in SWITCHES] == before
    with pytest.raises(ZeroDivisionError), in_full(CUDA):
        _ = 1 / 0
    assert [getattr(*switch) for switch in SWITCHES] == before


def test_the_gradient_in_x_is_taken_in_full(monkeypatch):
    """The backward pass of a convolution reads the switch when it runs, long after the forward pass."""
    entered = []
    monkeypatch.setattr(base, "in_full", lambda device: entered.append(device) or nullcontext())
    energy_and_grad(lambda x: x.square().sum(1), torch.rand(2, 3))
    assert entered == [CPU]


def test_auto_is_float32_on_a_gpu():
    assert not uses_bf16("auto", CUDA, low_precision=True)


def test_an_outer_autocast_does_not_reach_in(images):
    energy = ConvNet(width=4, precision="fp32")
    with torch.autocast("cpu", torch.bfloat16), computing_in("fp32", CPU, low_precision=False):
        inside = energy(images)
    assert torch.equal(inside, energy(images))
