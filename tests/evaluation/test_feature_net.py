from pathlib import Path

import pytest
import torch

from ebmnist.data.base import Dataset, Split
from ebmnist.data.mnist import MNIST
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation import feature_net
from ebmnist.evaluation.feature_net import (
    EpochRecord,
    FeatureNet,
    accuracy,
    extract,
    jitter,
    load_feature_net,
    to_bytes,
    train_feature_net,
)
from ebmnist.random import Rng


def rng(seed: int = 0) -> Rng:
    return Rng(seed)


def bars(n: int) -> Split:
    """Two digits that a glance tells apart: a bright left or a bright right half."""
    labels = torch.arange(n) % 2
    images = 0.2 * torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    images[labels == 0, :, :, :14] += 0.7
    images[labels == 1, :, :, 14:] += 0.7
    return Split(images, labels)


def train(seed: int, n_epochs: int = 3) -> list[EpochRecord]:
    dataset = Dataset("bars", bars(64), bars(20), bars(20))
    return list(train_feature_net(dataset, rng=rng(seed), n_epochs=n_epochs, batch_size=16, lr=1e-3))


def test_the_shipped_net_reads_digits() -> None:
    test = MNIST().load().test
    assert accuracy(load_feature_net(), Split(test.images[::20], test.labels[::20])) > 0.98


@pytest.mark.slow
def test_the_shipped_net_has_the_accuracy_it_claims() -> None:
    claimed = feature_net.TEST_ACCURACY
    assert claimed >= 0.994
    # Another processor may round one doubtful digit the other way.
    assert accuracy(load_feature_net(), MNIST().load().test) == pytest.approx(claimed, abs=1.5e-4)


def test_the_shipped_net_is_frozen_and_small() -> None:
    net = load_feature_net()
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    assert sum(p.numel() for p in net.parameters()) == 233_930
    assert feature_net.WEIGHTS.stat().st_size < 1.5e6


def test_an_altered_or_missing_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "feature_net.safetensors"
    monkeypatch.setattr(feature_net, "WEIGHTS", copy)
    with pytest.raises(Unmeasurable, match="missing"):
        load_feature_net()
    copy.write_bytes(to_bytes(FeatureNet()))
    with pytest.raises(Unmeasurable, match="SHA-256"):
        load_feature_net()


def test_to_bytes_is_what_was_shipped() -> None:
    assert to_bytes(load_feature_net()) == feature_net.WEIGHTS.read_bytes()


def test_extract_gives_the_features_behind_the_logits_whatever_the_batches() -> None:
    net, x = load_feature_net(), torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    seen = extract(net, x, batch_size=3)
    assert seen.features.shape == (7, 128)
    assert seen.features.dtype == torch.float64
    torch.testing.assert_close(seen.probabilities, net(x).softmax(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen.features, net.features(x).double(), atol=1e-4, rtol=1e-4)


def test_extract_refuses_nan_images() -> None:
    x = torch.zeros(3, 1, 28, 28)
    x[1, 0, 4, 4] = torch.nan
    with pytest.raises(Unmeasurable, match="1 of 3 images hold NaN"):
        extract(FeatureNet().eval(), x)


def test_training_learns_and_tells_its_progress() -> None:
    progress = train(seed=0, n_epochs=6)
    assert [p.epoch for p in progress] == [1, 2, 3, 4, 5, 6]
    assert progress[-1].loss < 0.5 * progress[0].loss
    assert progress[-1].validation_accuracy == 1.0


def test_same_rng_same_net_whatever_the_global_seed() -> None:
    first = train(seed=0, n_epochs=1)[-1].net.state_dict()
    torch.rand(3)  # moves the global generator
    second, other = (train(seed=s, n_epochs=1)[-1].net.state_dict() for s in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_jitter_moves_a_dot_by_a_few_pixels() -> None:
    x = torch.zeros(200, 1, 28, 28)
    x[:, :, 14, 14] = 1
    moved = jitter(x, rng())
    assert moved.shape == x.shape
    mass = moved.sum((1, 2, 3))
    rows = (moved.sum((1, 3)) * torch.arange(28)).sum(1) / mass
    assert 1 < float((rows - 14).abs().max()) < 3
    assert abs(float((rows - 14).mean())) < 0.4
