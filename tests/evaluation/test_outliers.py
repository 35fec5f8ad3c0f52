import gzip
from pathlib import Path

import pytest
import torch

from ebmnist.data import locate
from ebmnist.data.base import Dataset, Split
from ebmnist.data.corruptions import CORRUPTIONS
from ebmnist.data.layout import FILES
from ebmnist.data.mnist import MNIST
from ebmnist.errors import BadInput
from ebmnist.evaluation.outliers import TAKEN, given_sets, held_out, other_sets, seen_test, synthetic_sets


def toy(name: str = "mnist") -> Dataset:
    """Training without 2 and 3, of which test has both."""
    train, test = (Split(torch.rand(len(y), 1, 28, 28), torch.tensor(y)) for y in ([0, 1, 1], [3, 0, 2, 1, 3]))
    return Dataset(name, train, train, test)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither Fashion-MNIST nor KMNIST is on this machine, until a test puts it there."""
    monkeypatch.setattr(locate, "os_cache", lambda project: tmp_path / project)
    monkeypatch.setattr("ebmnist.evaluation.outliers.present", _only_cached)
    return tmp_path / "ebmnist"


def _only_cached(published: locate.Published) -> Path | None:
    return locate.present(locate.Published(published.name, published.base_url, published.md5))


def put(folder: Path, images: torch.Tensor) -> None:
    folder.mkdir(parents=True)
    for name in FILES:
        body = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in images.shape) + images.numpy().tobytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(body))


def test_held_out_labels_are_those_training_never_had() -> None:
    dataset = toy()
    assert held_out(dataset) == [2, 3]
    seen = seen_test(dataset)
    assert seen.labels.tolist() == [0, 1]
    assert torch.equal(seen.images, dataset.test.images[[1, 3]])


def test_a_whole_test_split_is_handed_on_as_it_is() -> None:
    dataset = toy()._replace(test=toy().train)
    assert held_out(dataset) == []
    assert seen_test(dataset) is dataset.test


def test_a_cached_set_is_read_and_a_missing_one_is_named(cache: Path) -> None:
    images = torch.randint(256, (6, 28, 28), dtype=torch.uint8)
    put(cache / "fashion_mnist", images)
    found, missing = other_sets(toy(), 3, {})
    assert list(found) == ["fashion"]
    assert torch.equal((found["fashion"][:, 0] * 255).round().byte(), images[[0, 2, 4]])
    assert missing == ["kmnist (neither installed nor cached)"]


def test_a_damaged_set_is_named_and_not_read(cache: Path) -> None:
    put(cache / "kmnist", torch.zeros(6, 20, 20, dtype=torch.uint8))
    found, missing = other_sets(toy(), 3, {})
    assert found == {}
    assert "expected images of 28x28" in missing[1]


def test_a_set_is_no_outlier_to_itself_and_mnist_is_one_to_the_others() -> None:
    found, missing = other_sets(toy("fashion_mnist"), 3, {})
    assert list(found) == ["mnist"]
    assert torch.equal(found["mnist"], MNIST().load().test.images[[0, 3333, 6666]])
    assert [words.split()[0] for words in missing] == ["kmnist"]


def test_a_set_that_is_given_counts_and_takes_the_place_of_a_known_one(cache: Path) -> None:
    put(cache / "kmnist", torch.zeros(6, 28, 28, dtype=torch.uint8))
    given = {"letters": torch.rand(7, 1, 28, 28), "kmnist": torch.rand(2, 1, 28, 28)}
    found, missing = other_sets(toy(), 3, given)
    assert list(found) == ["letters", "kmnist"]
    assert torch.equal(found["letters"], given["letters"][[0, 2, 4]])
    assert torch.equal(found["kmnist"], given["kmnist"])
    assert [words.split()[0] for words in missing] == ["fashion"]


def test_folders_give_sets_by_their_names(tmp_path: Path) -> None:
    for name, n in (("letters", 20), ("kmnist", 21)):
        put(tmp_path / name, torch.full((n, 28, 28), 255, dtype=torch.uint8))
    found = given_sets([tmp_path / "letters", tmp_path / "kmnist" / ".." / "kmnist"])
    assert {name: tuple(x.shape) for name, x in found.items()} == {
        "letters": (20, 1, 28, 28),
        "kmnist": (21, 1, 28, 28),
    }
    assert float(found["letters"].min()) == 1


@pytest.mark.parametrize(
    ("names", "n", "says"),
    [
        (["black"], 20, "'black' is already the name of another set"),
        (["half-size"], 20, "'half-size' is already the name"),
        (["a/letters", "b/letters"], 20, "b/letters: 'letters' is already the name"),
        (["letters"], 19, "letters: 19 test images are too few; at least 20 are needed"),
    ],
)
def test_sets_that_cannot_be_told_apart_or_are_too_small_are_refused(
    tmp_path: Path, names: list[str], n: int, says: str
) -> None:
    for name in names:
        put(tmp_path / name, torch.zeros(n, 28, 28, dtype=torch.uint8))
    with pytest.raises(BadInput, match=says):
        given_sets([tmp_path / name for name in names])


def test_every_synthetic_set_is_as_many_images_in_range() -> None:
    images = torch.rand(5, 1, 28, 28)
    sets = synthetic_sets(images, torch.Generator().manual_seed(0))
    assert len(sets) == 3 + len(CORRUPTIONS)
    assert set(sets) <= TAKEN
    for x in sets.values():
        assert x.shape == images.shape
        assert 0 <= float(x.min()) <= float(x.max()) <= 1
    assert not sets["black"].any()
    assert torch.equal(sets["hflip"], images.flip(-1))
    assert torch.equal(sets["constant"].amax((1, 2, 3)), sets["constant"].amin((1, 2, 3)))
