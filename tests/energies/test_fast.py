"""Energies under what follows operations or changes tensors: the numbers are those of double precision."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacrev, jvp, vmap

from ebmnist.energies import ConvNet, energy_and_grad
from ebmnist.native import NativeNet, library

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's of itself, in jvp too

X = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def nets(**fields) -> tuple[ConvNet, ConvNet]:
    """Return a network with a reference_precision, and the same in double."""
    torch.manual_seed(0)
    energy = ConvNet(4, 2, reference_precision=0.05, precision="fp32", **fields)
    energy(X)
    return energy.eval(), copy.deepcopy(energy).double().eval()


def close(ours: Tensor, exact: Tensor) -> None:
    scale = float(exact.abs().max())
    torch.testing.assert_close(ours.double(), exact, rtol=1e-3, atol=1e-4 * scale)


def input_grad(energy, x, *, again: int = 0) -> Tensor:
    """∂E/∂x, and the gradient of its square, `again` times."""
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(energy(x).sum(), x, create_graph=again > 0)
    for i in range(again):
        (g,) = torch.autograd.grad(g.square().sum(), x, create_graph=i + 1 < again)
    return g


def weights_of(energy) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in energy.named_parameters()}


def weight_grad(energy, x) -> Tensor:
    g = grad(lambda w: functional_call(energy, w, (x,)).sum())(weights_of(energy))
    return torch.cat([t.flatten() for t in g.values()])


def curvature_of_weights(energy, x) -> Tensor:
    """The gradient by the weights of the square of the gradient by the weights."""
    weights = list(energy.parameters())
    squares = torch.autograd.grad(energy(x).square().sum(), weights, create_graph=True)
    found = torch.autograd.grad(sum(g.square().sum() for g in squares), weights)
    return torch.cat([g.flatten() for g in found])


def score_matching(energy, x) -> Tensor:
    """The gradient by the weights of ‖∂E/∂x‖²."""
    x, learnt = x.clone().requires_grad_(), [p for name, p in energy.named_parameters() if name != "head.bias"]
    (g,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True)
    return torch.cat([t.flatten() for t in torch.autograd.grad(g.square().sum(), learnt)])


def dual(energy, x) -> Tensor:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(energy(forward_ad.make_dual(x, torch.ones_like(x)))).tangent.detach()


def per_image(energy, x) -> Tensor:
    one = grad(lambda w, image: functional_call(energy, w, (image[None],)).sum())
    return torch.cat([g.flatten() for g in vmap(one, (None, 0))(weights_of(energy), x).values()])


def batched(energy, x, inputs) -> Tensor:
    value = energy(x)
    basis = torch.eye(len(value), dtype=value.dtype)
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, inputs, basis, is_grads_batched=True)])


def of_pixels(energy, x) -> Tensor:
    x = x.clone().requires_grad_()
    return batched(energy, x, [x])


WAYS = {
    "grad": lambda e, x: grad(lambda v: e(v).sum())(x),
    "vmap": lambda e, x: vmap(lambda v: e(v[None])[0])(x),
    "vmap of grad": lambda e, x: vmap(grad(lambda v: e(v[None])[0]))(x),
    "jacrev": lambda e, x: jacrev(e)(x),
    "jvp": lambda e, x: jvp(e, (x,), (torch.ones_like(x),))[1],
    "hessian": lambda e, x: hessian(lambda v: e(v.view(1, 1, 28, 28))[0])(x[0].flatten()),
    "second": lambda e, x: input_grad(e, x, again=1),
    "third": lambda e, x: input_grad(e, x, again=2),
    "hvp": lambda e, x: torch.autograd.functional.hvp(lambda v: e(v).sum(), x, torch.ones_like(x))[1],
    "weights": weight_grad,
    "each image's weights": per_image,
    "curvature of weights": curvature_of_weights,
    "score matching": score_matching,
    "forward derivative": dual,
    "batched upstream": of_pixels,
    "batched upstream of weights": lambda e, x: batched(e, x, list(e.parameters())),
    "other weights": lambda e, x: functional_call(e, {n: 2 * w for n, w in weights_of(e).items()}, (x,)),
}


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_derivatives_of_every_kind_are_those_in_double(way, spectral_norm):
    ours, exact = nets(spectral_norm=spectral_norm)
    close(WAYS[way](ours, X), WAYS[way](exact, X.double()).detach())


def test_autocast_leaves_energies_and_slopes_alone():
    energy, _ = nets()
    expected = energy_and_grad(energy, X), input_grad(energy, X, again=1)
    with torch.autocast("cpu", torch.bfloat16):
        found = energy_and_grad(energy, X), input_grad(energy, X, again=1)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], rtol=0.02, atol=0.02 * float(expected[1].abs().max()))


def compiled(energy, x):
    return torch.compile(energy, backend="aot_eager", fullgraph=True)(x)


def traced(energy, x):
    return torch.jit.trace(energy, torch.zeros_like(x))(x)


def exported(energy, x):
    return torch.export.export(energy, (torch.zeros_like(x),)).module()(x)


@pytest.mark.parametrize("way", [compiled, traced, exported])
def test_graphs_hold_the_network_and_not_an_answer(way):
    ours, exact = nets()
    close(way(ours, X).detach(), exact(X.double()).detach())


def negated(x: Tensor) -> Tensor:
    return torch._neg_view(-x)


class Subclass(Tensor):
    pass


TENSORS = {
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "every second": lambda x: x.repeat_interleave(2, 3)[..., ::2],
    "transposed": lambda x: x.mT.contiguous().mT,
    "expanded": lambda x: x[:1].expand(3, 1, 28, 28),
    "pending sign": negated,
    "parameter": nn.Parameter,
    "subclass": lambda x: x.as_subclass(Subclass),
    "zeros without memory": lambda x: torch._efficientzerotensor(x.shape),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_of_every_kind_are_read_right(kind):
    ours, exact = nets()
    x = TENSORS[kind](X)
    plain = x.detach().as_subclass(Tensor).clone().double()
    close(ours(x).detach().as_subclass(Tensor), exact(plain).detach())


def changed(change) -> tuple[ConvNet, ConvNet]:
    ours, _ = nets()
    change(ours.net)
    return ours, copy.deepcopy(ours).double()


CHANGES = {
    "activation": lambda net: net.__setitem__(1, nn.ELU()),
    "no activation": lambda net: net.__delitem__(1),
    "no bias": lambda net: net.__setitem__(2, nn.Conv2d(4, 8, 3, 2, 1, bias=False)),
    "dilation": lambda net: net.__setitem__(2, nn.Conv2d(4, 8, 3, 2, 2, dilation=2)),
    "padding": lambda net: net.__setitem__(2, nn.Conv2d(4, 8, 3, 2, 1, padding_mode="reflect")),
    "weight norm": lambda net: nn.utils.parametrizations.weight_norm(net[2]),
    "forward": lambda net: setattr(net[1], "forward", torch.tanh),
}


@pytest.mark.parametrize("change", CHANGES)
def test_layers_that_were_changed_are_what_computes(change):
    ours, exact = changed(CHANGES[change])
    close(ours(X).detach(), exact(X.double()).detach())


def test_a_hook_inside_hears_every_call(monkeypatch):
    energy, heard = nets()[0], []
    monkeypatch.setattr(NativeNet, "energy", lambda *_: pytest.fail("the C++ calls no hook"))
    energy.net[1].register_forward_hook(lambda *_: heard.append(1))
    energy(X), energy_and_grad(energy, X)
    assert len(heard) == 2


def test_weights_changed_before_backward_are_noticed():
    energy, _ = nets()
    value = energy(X).sum()
    with torch.no_grad():
        energy.head.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def by_numpy(energy: ConvNet) -> None:
    energy.net[0].weight.data.numpy()[:] += 0.5  # no version counter tells


def by_field(energy: ConvNet) -> None:
    energy.reference_precision = 3.0


@pytest.mark.skipif(library() is None, reason="nothing compiled runs here")
@pytest.mark.parametrize("change", [by_numpy, by_field])
def test_weights_are_laid_out_again_only_where_something_has_changed(change):
    energy, _ = nets()
    before = energy.native_net(low_precision=False)
    assert energy.native_net(low_precision=False) is before
    change(energy)
    assert energy.native_net(low_precision=False) is not before
    close(energy(X).detach(), copy.deepcopy(energy).double()(X.double()).detach())
