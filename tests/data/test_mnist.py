import lzma
from importlib.resources import files

import pytest
import torch

from ebmnist.data.layout import FILES
from ebmnist.data.mnist import MNIST
from ebmnist.errors import BadInput

BUNDLED = files("ebmnist.data") / "bundled"


@pytest.fixture(scope="module")
def mnist():
    return MNIST().load()


def test_the_splits_are_the_published_ones(mnist):
    assert mnist.name == "mnist"
    for split, n in ((mnist.train, 55_000), (mnist.validation, 5_000), (mnist.test, 10_000)):
        assert split.images.shape == (n, 1, 28, 28)
        assert split.images.dtype == torch.float32
        assert split.labels.shape == (n,)
        assert split.labels.dtype == torch.int64
        assert (split.images.min(), split.images.max()) == (0, 1)
        assert split.labels.unique().tolist() == list(range(10))
    assert mnist.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test.labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_the_published_mean(mnist):
    total = sum(split.images.sum(dtype=torch.float64).item() for split in (mnist.train, mnist.validation))
    assert total / (60_000 * 784) == pytest.approx(0.1307, abs=5e-5)


def test_validation_is_the_last_of_the_training_file(mnist):
    raw = lzma.decompress((BUNDLED / f"{FILES[0]}.xz").read_bytes())
    last = torch.frombuffer(bytearray(raw[-784:]), dtype=torch.uint8).view(28, 28)
    assert torch.equal(mnist.validation.images[-1, 0], last / 255)


def test_loads_do_not_share_memory(mnist):
    again = MNIST().load()
    assert again.test.images.data_ptr() != mnist.test.images.data_ptr()
    assert again.test.labels.data_ptr() != mnist.test.labels.data_ptr()


def test_pixels_are_the_bytes_of_the_file_held_once(mnist):
    again = MNIST().load()
    assert mnist.train.pixels.dtype == torch.uint8
    assert again.train.pixels.data_ptr() == mnist.train.pixels.data_ptr()
    end = mnist.train.pixels.data_ptr() + mnist.train.pixels.numel()
    assert mnist.validation.pixels.data_ptr() == end


def test_another_folder_of_the_same_files_will_do(mnist):
    assert torch.equal(MNIST(BUNDLED, n_validation=100).load().validation.images, mnist.validation.images[-100:])


def test_one_altered_label_is_noticed(tmp_path):
    name = "t10k-labels-idx1-ubyte"
    raw = bytearray(lzma.decompress((BUNDLED / f"{name}.xz").read_bytes()))
    raw[100] ^= 1  # still a well-formed file
    for other in FILES:
        (tmp_path / f"{other}.xz").symlink_to(BUNDLED / f"{other}.xz")
    (tmp_path / name).write_bytes(raw)  # the plain file comes before the compressed one
    with pytest.raises(BadInput, match=rf"{name}: not MNIST's file \(its SHA-256 differs\)") as error:
        MNIST(tmp_path).load()
    assert "\n" not in str(error.value)


def test_a_digit_can_be_left_out_of_training(mnist):
    less = MNIST(without=(9,)).load()
    for now, before in ((less.train, mnist.train), (less.validation, mnist.validation)):
        assert torch.equal(now.labels, before.labels[before.labels != 9])
        assert len(now.images) == len(now.labels)
    assert torch.equal(less.test.labels, mnist.test.labels)
