"""The loop of the UvA deep-learning tutorial 8, written anew from its settings, to compare with; range [−1, 1]."""

import random

import torch
from torch import Tensor, nn


def tutorial_net(width: int = 16) -> nn.Sequential:
    """The tutorial's network: width 16 is its own, 76,993 parameters; its output is −E."""
    return nn.Sequential(
        nn.Conv2d(1, width, 5, stride=2, padding=4),
        nn.SiLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Conv2d(4 * width, 4 * width, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(16 * width, 4 * width),
        nn.SiLU(),
        nn.Linear(4 * width, 1),
    )


def tutorial_chain(net: nn.Module, images: Tensor, n_steps: int) -> Tensor:
    """Noise, clamp, gradient by `backward()` into `images.grad`, clip, step, clamp; parameters frozen meanwhile."""
    was_training = net.training
    net.eval()
    for p in net.parameters():
        p.requires_grad = False
    images.requires_grad = True
    noise = torch.randn(images.shape, device=images.device)
    for _ in range(n_steps):
        noise.normal_(0, 0.005)
        images.data.add_(noise.data)
        images.data.clamp_(min=-1.0, max=1.0)
        (-net(images)).sum().backward()
        images.grad.data.clamp_(-0.03, 0.03)
        images.data.add_(-10 * images.grad.data)
        images.grad.detach_()
        images.grad.zero_()
        images.data.clamp_(min=-1.0, max=1.0)
    for p in net.parameters():
        p.requires_grad = True
    net.train(was_training)
    return images.detach()


class TutorialTrainer:
    """Its training update, its buffer being a list of CPU tensors, newest first."""

    def __init__(self, net: nn.Module, n_steps: int = 60, batch_size: int = 128) -> None:
        self.net, self.n_steps, self.batch_size = net, n_steps, batch_size
        self.buffer = [torch.rand(1, 1, 28, 28) * 2 - 1 for _ in range(batch_size)]
        self.optimiser = torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.0, 0.999))

    def update(self, images: Tensor) -> float:
        """One update on real images in [−1, 1]."""
        images = (images + 0.005 * torch.randn_like(images)).clamp(-1, 1)
        n_fresh = sum(random.random() < 0.05 for _ in range(self.batch_size))
        fresh = torch.rand(n_fresh, 1, 28, 28) * 2 - 1
        old = torch.cat(random.choices(self.buffer, k=self.batch_size - n_fresh))
        fake = tutorial_chain(self.net, torch.cat([fresh, old]), self.n_steps)
        self.buffer = [*fake.chunk(self.batch_size), *self.buffer][:8192]
        real_out, fake_out = self.net(torch.cat([images, fake])).chunk(2)
        regulariser = 0.1 * (real_out**2 + fake_out**2).mean()
        loss = regulariser + fake_out.mean() - real_out.mean()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 0.1)
        self.optimiser.step()
        return loss.item()
