"""The peers' own samplers on the tutorial's network and settings; each raises ImportError where it is not installed."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from contestants import Chains

STEP, NOISE, CLIP, BOX = 10.0, 0.005, 0.03, (-1.0, 1.0)  # the tutorial's, on [−1, 1]

Step = Callable[[Tensor, Tensor], Tensor]  # images on [−1, 1] and standard normals -> images


def pytorch_step(net: nn.Sequential, dtype: torch.dtype = torch.float32) -> Step:
    """The tutorial's step with oneDNN at its best: weights channels-last, no `.grad`, products in `dtype`."""
    fast = deepcopy(net).eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def energy(images: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return -fast(images).float().sum()

    slope = torch.func.grad(energy)

    def step(images: Tensor, normals: Tensor) -> Tensor:
        noised = (images + NOISE * normals).clamp(*BOX)
        return (noised - STEP * slope(noised).clamp(-CLIP, CLIP)).clamp(*BOX)

    return step


def pytorch_chain(step: Step, x: Tensor) -> Chains:
    """A loop of such steps."""

    def chain(n_steps: int) -> Tensor:
        images = 2 * x - 1
        for _ in range(n_steps):
            images = step(images, torch.randn_like(images))
        return images

    return chain


def torchebm_chain(net: nn.Sequential, x: Tensor) -> Chains:
    """torchebm's `LangevinDynamics`. It clips no gradient, and its noise is √(2·step)·noise_scale."""
    from torchebm.core import BaseModel
    from torchebm.samplers import LangevinDynamics

    class Energy(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return -self.net(x).squeeze(1)

    sampler = LangevinDynamics(Energy(), step_size=STEP, noise_scale=NOISE / (2 * STEP) ** 0.5, clamp=BOX)
    return lambda n_steps: sampler.sample(x=2 * x - 1, n_steps=n_steps)


def ebmkit_chain(net: nn.Sequential, x: Tensor) -> Chains:
    """ebmkit's `LangevinDynamics`: the tutorial's settings, the noise after the gradient."""
    from ebm.samplers import LangevinDynamics

    sampler = LangevinDynamics(step_size=STEP, noise_scale=NOISE, grad_clip=CLIP, clamp=BOX)
    return lambda n_steps: sampler.sample(lambda images: -net(images).squeeze(1), 2 * x - 1, steps=n_steps)


def jax_chain(net: nn.Sequential, x: Tensor) -> Chains:
    """The tutorial's semantics in JAX: `jit` of a `lax.scan`, images channels-last, fp32."""
    import jax
    import jax.numpy as jnp

    energy = jax_energy(net)
    grad = jax.grad(lambda images: energy(images).sum())

    def step(images: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        noised = jnp.clip(images + NOISE * jax.random.normal(key, images.shape), *BOX)
        return jnp.clip(noised - STEP * jnp.clip(grad(noised), -CLIP, CLIP), *BOX), None

    @partial(jax.jit, static_argnames="n_steps")
    def chain(images: jax.Array, key: jax.Array, n_steps: int) -> jax.Array:
        return jax.lax.scan(step, images, jax.random.split(key, n_steps))[0]

    images = jnp.asarray((2 * x - 1).permute(0, 2, 3, 1).contiguous().numpy())
    key = jax.random.key(0)
    return lambda n_steps: chain(images, key, n_steps).block_until_ready()


def jax_energy(net: nn.Sequential) -> "Chains":
    """E of images (B, 28, 28, 1) as a JAX function, with the weights of `net`."""
    import jax
    import jax.numpy as jnp

    convs, (hidden, head) = net[0:8:2], (net[9], net[11])
    kernels = [jnp.asarray(conv.weight.detach().permute(2, 3, 1, 0).numpy()) for conv in convs]  # (H, W, in, out)
    biases = [jnp.asarray(layer.bias.detach().numpy()) for layer in (*convs, hidden, head)]
    # The last feature map is flattened channels-last here, so the hidden layer's columns move with it.
    columns = hidden.weight.detach().reshape(hidden.out_features, -1, 2, 2).permute(2, 3, 1, 0)
    w_hidden = jnp.asarray(np.ascontiguousarray(columns.reshape(-1, hidden.out_features).numpy()))
    w_head = jnp.asarray(head.weight.detach().numpy().T)

    def energy(images: jax.Array) -> jax.Array:
        h = images
        for conv, kernel, bias in zip(convs, kernels, biases, strict=False):
            pads = [(pad, pad) for pad in conv.padding]
            h = jax.lax.conv_general_dilated(h, kernel, conv.stride, pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))
            h = jax.nn.silu(h + bias)
        h = jax.nn.silu(h.reshape(len(h), -1) @ w_hidden + biases[-2])
        return -(h @ w_head + biases[-1])[:, 0]

    return energy
