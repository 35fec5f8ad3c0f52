import numpy as np
import torch

from ebmnist.data.base import Split, as_images


def test_every_byte_is_divided_by_255_and_rounded_once():
    pixels = torch.arange(256, dtype=torch.uint8).repeat(5)[3:]  # as many as leave a rest in every vector
    expected = pixels.numpy().astype(np.float32) / np.float32(255)
    assert as_images(pixels).numpy().tobytes() == expected.tobytes()
    assert torch.equal(pixels, torch.arange(256, dtype=torch.uint8).repeat(5)[3:])


def test_images_that_are_floats_are_themselves():
    images = torch.rand(3, 1, 2, 2)
    assert as_images(images) is images
    assert Split(images, torch.zeros(3)).images is images


def test_images_of_bytes_are_made_once():
    split = Split(torch.arange(12, dtype=torch.uint8).view(3, 1, 2, 2), torch.arange(3))
    assert split.images is split.images
    assert torch.equal(split.images, torch.arange(12).view(3, 1, 2, 2) / 255)


def test_rows_are_chosen_by_indices_mask_and_slice():
    split = Split(torch.arange(12, dtype=torch.uint8).view(3, 1, 2, 2), torch.arange(3))
    for rows in (torch.tensor([1, 2]), torch.tensor([False, True, True]), slice(1, 3)):
        some = split.at(rows)
        assert some.labels.tolist() == [1, 2]
        assert torch.equal(some.pixels, split.pixels[1:])
        assert torch.equal(some.images, split.images[1:])
