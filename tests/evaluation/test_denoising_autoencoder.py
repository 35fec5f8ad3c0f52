import torch
from torch import Tensor

from ebmnist.data.corruptions import add_noise
from ebmnist.evaluation.denoising_autoencoder import train_autoencoder
from ebmnist.inference.image_quality import psnr
from ebmnist.random import Rng


def test_it_learns_to_denoise_at_every_level_it_was_told(images: Tensor) -> None:
    rng = Rng(0)
    net = train_autoencoder(images[:48], (0.1, 0.5), 60, rng=rng, batch_size=32)
    for sigma, gain in ((0.1, 2), (0.5, 8)):
        y = add_noise(images[48:], sigma, rng)
        x = net.denoise(y, sigma)
        assert x.shape == y.shape
        assert float((psnr(x, images[48:]) - psnr(y, images[48:])).mean()) > gain


def test_same_rng_same_net_whatever_the_global_stream(images: Tensor) -> None:
    def trained(seed: int) -> Tensor:
        torch.manual_seed(seed)
        net = train_autoencoder(images, (0.2,), 2, rng=Rng(7), batch_size=8)
        return net.denoise(images[:2], 0.2)

    assert torch.equal(trained(1), trained(2))
