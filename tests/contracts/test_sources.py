"""What every source of data must be: the registry's key is the file's name, and `load()` gives three sound splits."""

import dataclasses
import gzip
import importlib
import inspect
import struct

import pytest
import torch

from ebmnist import data
from ebmnist.config import load_recipe
from ebmnist.data.base import Dataset

SOURCES = pytest.mark.parametrize("key", data.REGISTRY)


@pytest.fixture
def toy_folder(tmp_path):
    """A small set of random images, in the format that every source reads."""
    rng = torch.Generator().manual_seed(0)
    for part, n in (("train", 8), ("t10k", 3)):
        pixels = torch.randint(256, (n, 28, 28), generator=rng, dtype=torch.uint8)
        images = struct.pack(">4I", 0x803, n, 28, 28) + pixels.numpy().tobytes()
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, n) + bytes(range(n)))
    return tmp_path


@SOURCES
def test_key_is_file_name_is_class_name(key):
    source = data.REGISTRY[key]
    assert key == key.lower()
    assert source.__module__ == f"ebmnist.data.{key}"
    assert source.__name__.lower() == key.replace("_", "")
    assert importlib.import_module(source.__module__).__doc__
    assert getattr(data, source.__name__) is source
    assert source.__name__ in data.__all__


def test_the_command_line_can_name_a_folder_of_ones_own(toy_folder):
    fields = ["--data.kind", "idx", "--data.root", str(toy_folder), "--data.n_validation", "2"]
    dataset = load_recipe("smoke", fields).load_data()
    assert [len(split.images) for split in (dataset.train, dataset.validation, dataset.test)] == [6, 2, 3]


@SOURCES
def test_is_a_documented_frozen_dataclass(key):
    source = data.REGISTRY[key]
    assert dataclasses.is_dataclass(source)
    assert source.__dataclass_params__.frozen
    assert not source.__doc__.startswith(f"{source.__name__}(")  # what a dataclass writes if nobody does
    assert source.load.__doc__
    assert inspect.signature(source.load).return_annotation is Dataset


@SOURCES
def test_every_field_is_described_for_the_command_line(key):
    written = inspect.getsource(data.REGISTRY[key]).splitlines()
    for field in dataclasses.fields(data.REGISTRY[key]):
        (line,) = (i for i, text in enumerate(written) if text.startswith(f"    {field.name}: "))
        assert written[line + 1].startswith('    """')


@SOURCES
def test_loads_three_sound_splits(key, toy_folder):
    # MNIST's files are known, so it reads no others.
    source = data.MNIST() if key == "mnist" else data.REGISTRY[key](root=toy_folder, n_validation=2)
    dataset = source.load()
    for split in (dataset.train, dataset.validation, dataset.test):
        assert data.check_images(split.images, key) is split.images
        assert split.labels.shape == split.images.shape[:1]
        assert split.labels.dtype == torch.int64
    assert dataset.name == (toy_folder.name if key == "idx" else key)
