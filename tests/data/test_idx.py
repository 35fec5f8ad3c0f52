import gzip
import lzma
import tracemalloc

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ebmnist.data.idx import IDX, read_idx, read_test_images
from ebmnist.data.images import read_images
from ebmnist.data.layout import FILES
from ebmnist.errors import BadInput

GOOD = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])
COMPRESS = [bytes, gzip.compress, lzma.compress]


def one_line(error: pytest.ExceptionInfo[BadInput]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("compress", COMPRESS)
def test_reads_bytes_and_files_of_any_compression(compress, tmp_path):
    path = tmp_path / "named-as-one-likes"
    path.write_bytes(compress(GOOD))
    expected = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.uint8)
    for source in (compress(GOOD), path, str(path)):
        found = read_idx(source)
        assert found.dtype == torch.uint8
        assert torch.equal(found, expected)


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    seed=st.integers(0, 99),
    how=st.sampled_from(COMPRESS),
)
@settings(deadline=None)
def test_round_trip(shape, seed, how):
    tensor = torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    assert torch.equal(read_idx(how(header + tensor.numpy().tobytes())), tensor)


@given(
    prefix=st.sampled_from([b"", b"\0\0\x08\x01", b"\x1f\x8b\x08", b"\xfd7zXZ\0"]),
    tail=st.binary(max_size=60),
    how=st.sampled_from(COMPRESS),
)
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_a_tensor_or_bad_input(prefix, tail, how):
    try:
        found = read_idx(how(prefix + tail))
    except BadInput:
        return
    assert found.dtype == torch.uint8


@given(how=st.sampled_from(COMPRESS[1:]), where=st.integers(0, 200), flip=st.integers(1, 255))
@settings(deadline=None)
def test_one_altered_byte_of_a_compressed_file_gives_the_data_or_bad_input(how, where, flip):
    data = bytearray(how(GOOD))
    data[where % len(data)] ^= flip
    try:
        found = read_idx(bytes(data))
    except BadInput:
        return
    assert torch.equal(found, read_idx(GOOD))  # a byte of the header that means nothing, such as gzip's time


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not an IDX file"),
        (b"\x89PNG" + GOOD, "not an IDX file: starts with 0x89504e47"),
        (bytes([0, 0, 8, 0, 9]), "not an IDX file"),
        (bytes([0, 0, 8, 5]) + GOOD[4:], "not an IDX file"),
        (bytes([0, 0, 13, 2]) + GOOD[4:], "element type 0x0d"),
        (GOOD[:9], "truncated in its header: 9 bytes, expected at least 12"),
        (GOOD[:-1], "truncated: 5 bytes of data, its shape (2, 3) needs 6"),
        (GOOD + b"\0", "overlong: more bytes of data than it names, its shape (2, 3) needs 6"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 0]), "holds nothing: its shape is (0,)"),
        (bytes([0, 0, 8, 4]) + b"\xff" * 16, "needs over 600,000,000 bytes, more than is read"),
        (bytes([0, 0, 8, 2, 2, 0, 0, 0, 3, 0, 0, 0]) + GOOD[12:], "little-endian byte order, of shape (2, 3)"),
        (b"<!DOCTYPE html><html>404</html>", "it is a web page: the download went wrong"),
        (gzip.compress(b"  <html>sign in</html>", mtime=0), "it is a web page: the download went wrong"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is Git LFS's pointer"),
        (gzip.compress(GOOD, mtime=0)[:-3], "corrupt compressed file"),
        (lzma.compress(GOOD)[:-3], "corrupt compressed file"),
    ],
)
def test_damage_is_named_with_the_file(data, said, tmp_path):
    path = tmp_path / "digits"
    path.write_bytes(data)
    with pytest.raises(BadInput) as error:
        read_idx(path)
    assert one_line(error).startswith(f"{path}: ")
    assert said in one_line(error)
    with pytest.raises(BadInput, match=r"^these bytes: "):
        read_idx(data, "these bytes")


def test_a_missing_file_and_a_folder_are_bad_input(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(BadInput, match="cannot be read"):
            read_idx(path)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_a_folder_is_a_data_set(suffix, write_set, raw_set, tmp_path):
    name, train, validation, test = IDX(write_set(tmp_path / "mine", suffix), n_validation=2).load()
    assert name == "mine"
    images = torch.cat([train.images, validation.images])
    assert [len(split.images) for split in (train, validation, test)] == [5, 2, 3]
    assert images.shape == (7, 1, 28, 28)
    assert images.dtype == torch.float32
    assert torch.equal((images[:, 0].double() * 255).round().byte(), raw_set[FILES[0]])
    assert (images.min(), images.max()) == (0, 1)
    assert torch.cat([train.labels, validation.labels]).tolist() == list(range(7))
    assert test.labels.dtype == torch.int64


def test_the_plain_file_comes_before_the_compressed_one(write_set, tmp_path):
    write_set(tmp_path)
    (tmp_path / (FILES[0] + ".gz")).write_bytes(b"rubbish")
    assert len(IDX(tmp_path, 1).load().train.images) == 6


def test_an_incomplete_folder_says_which_file(write_set, tmp_path):
    (write_set(tmp_path) / FILES[3]).unlink()
    with pytest.raises(BadInput, match=f"holds no {FILES[3]}") as error:
        IDX(tmp_path).load()
    assert one_line(error).startswith(str(tmp_path))
    with pytest.raises(BadInput, match="no such folder"):
        IDX(tmp_path / "absent").load()


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        (FILES[1], torch.zeros(6), "holds 7 images, but train-labels-idx1-ubyte 6 labels"),
        (FILES[3], torch.zeros(3, 2), r"shape \(3, 2\); expected one label per image"),
        (FILES[0], torch.zeros(7, 32, 32), r"shape \(7, 32, 32\); expected images of 28x28"),
        (FILES[2], torch.zeros(3), r"shape \(3,\); expected images of 28x28"),
    ],
)
def test_files_that_do_not_fit_are_refused(name, tensor, said, write_set, to_idx, tmp_path):
    (write_set(tmp_path) / name).write_bytes(to_idx(tensor.byte()))
    with pytest.raises(BadInput, match=said) as error:
        IDX(tmp_path, n_validation=2).load()
    assert name in one_line(error)


@pytest.mark.parametrize("n_validation", [-1, 0, 7])
def test_every_split_has_images(n_validation, write_set, tmp_path):
    with pytest.raises(BadInput, match=f"n_validation = {n_validation}: expected 1 to 6"):
        IDX(write_set(tmp_path), n_validation).load()


def test_labels_left_out_of_training_stay_in_the_test(write_set, tmp_path):
    folder = write_set(tmp_path)
    whole, less = IDX(folder, n_validation=3).load(), IDX(folder, n_validation=3, without=(1, 5)).load()
    assert less.train.labels.tolist() == [0, 2, 3]  # of 0 1 2 3
    assert less.validation.labels.tolist() == [4, 6]  # of 4 5 6: the split is the same one
    assert torch.equal(less.train.images, whole.train.images[[0, 2, 3]])
    assert torch.equal(less.validation.images, whole.validation.images[[0, 2]])
    assert torch.equal(less.test.labels, whole.test.labels)
    assert torch.equal(less.test.images, whole.test.images)


@pytest.mark.parametrize(
    ("without", "said"), [((9,), "has no label 9 to leave out"), ((5, 6), "leaves a split of .* empty")]
)
def test_what_cannot_be_left_out(without, said, write_set, tmp_path):
    with pytest.raises(BadInput, match=said) as error:
        IDX(write_set(tmp_path), n_validation=2, without=without).load()
    assert one_line(error).startswith(f"without = {list(without)}: ")


def test_the_test_images_of_a_folder_are_those_of_its_one_test_file(write_set, tmp_path):
    folder = write_set(tmp_path / "set", ".xz")
    expected = IDX(folder, n_validation=2).load().test.images
    assert torch.equal(read_test_images(folder), expected)
    (folder / f"{FILES[2]}.gz").write_bytes(gzip.compress(b"stale"))
    (folder / FILES[2]).write_bytes(lzma.decompress((folder / f"{FILES[2]}.xz").read_bytes()))
    assert torch.equal(read_test_images(folder), expected)  # the plain one comes first


def test_emnists_transposed_images_are_set_upright(to_idx, raw_set, tmp_path):
    images = raw_set[FILES[2]]
    (tmp_path / "emnist-letters-test-images-idx3-ubyte.gz").write_bytes(gzip.compress(to_idx(images.mT.contiguous())))
    (tmp_path / "emnist-letters-test-labels-idx1-ubyte.gz").write_bytes(b"")
    (tmp_path / "emnist-letters-train-images-idx3-ubyte.gz").write_bytes(b"")
    assert torch.equal((read_test_images(tmp_path)[:, 0] * 255).round().byte(), images)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "holds no IDX file of test images; give a folder with one, such as t10k-images-idx3-ubyte"),
        (("a-test-idx3", "b-t10k-idx3.gz"), r"holds 2 IDX files of test images \(a-test-idx3, b-t10k-idx3\)"),
        (("a-test-idx3",), "a-test-idx3: not an IDX file"),
    ],
)
def test_a_folder_without_one_good_test_file_is_refused(names, said, tmp_path):
    for name in names:
        (tmp_path / name).write_bytes(b"no IDX")
    with pytest.raises(BadInput, match=said) as error:
        read_test_images(tmp_path)
    assert one_line(error).startswith(str(tmp_path))
    with pytest.raises(BadInput, match=r"nowhere: cannot be read \(No such file or directory\); give a folder"):
        read_test_images(tmp_path / "nowhere")


@pytest.mark.parametrize("how", [gzip.compress, lzma.compress], ids=["gzip", "xz"])
def test_a_file_that_inflates_without_end_costs_no_more_than_its_header_says(how):
    bomb = how(GOOD[:12] + bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(BadInput, match="overlong"):
        read_idx(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def rename(folder, spelled):
    for file in list(folder.iterdir()):
        target = folder / spelled(file.name)
        content = file.read_bytes()
        file.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


SPELLINGS = {
    "dotted": lambda name: name.replace("-idx", ".idx"),
    "nested": lambda name: f"{name}/{name}",
    "nested, dotted": lambda name: f"{name.replace('-idx', '.idx')}/{name.replace('-idx', '.idx')}",
    "torchvision": lambda name: f"MNIST/raw/{name}",
    "one folder deeper": lambda name: f"raw/{name}",
    "capitals": str.upper,
    "underscores": lambda name: name.replace("-", "_"),
    "test for t10k": lambda name: name.replace("t10k", "test"),
    "nested, dotted within": lambda name: f"{name}/{name.replace('-idx', '.idx')}",
}


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=list(SPELLINGS))
def test_the_files_are_found_as_people_have_them(spelled, suffix, write_set, raw_set, tmp_path):
    rename(write_set(tmp_path, suffix), spelled)
    dataset = IDX(tmp_path, n_validation=2).load()
    assert torch.equal((dataset.test.images[:, 0] * 255).round().byte(), raw_set[FILES[2]])
    assert torch.equal(read_test_images(tmp_path), dataset.test.images)


def test_of_two_sets_below_a_folder_one_must_be_given(write_set, tmp_path):
    for name in ("MNIST", "FashionMNIST"):
        write_set(tmp_path / name / "raw")
    with pytest.raises(
        BadInput, match=r"holds several sets; give one of \S+FashionMNIST/raw, \S+MNIST/raw as --data.root"
    ):
        IDX(tmp_path).load()


def emnist(name, subset="digits"):
    return f"emnist-{subset}-{name.replace('t10k', 'test')}"


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=list(SPELLINGS))
def test_emnist_is_found_and_upright_as_people_have_it(spelled, write_set, raw_set, tmp_path):
    rename(write_set(tmp_path), lambda name: spelled(emnist(name)))
    upright = raw_set[FILES[2]].mT.unsqueeze(1) / 255
    assert torch.equal(IDX(tmp_path, n_validation=2).load().test.images, upright)
    assert torch.equal(read_test_images(tmp_path), upright)


def test_emnist_is_upright_for_every_reader(write_set, raw_set, tmp_path):
    rename(write_set(tmp_path, ".gz"), emnist)
    upright = raw_set[FILES[2]].mT.unsqueeze(1) / 255
    assert torch.equal(IDX(tmp_path, n_validation=2).load().test.images, upright)
    assert torch.equal(read_test_images(tmp_path), upright)
    assert torch.equal(read_images(tmp_path / emnist(f"{FILES[2]}.gz")), upright)


def test_of_several_sets_of_emnist_one_must_be_given(write_set, tmp_path):
    for subset in ("digits", "letters"):
        rename(write_set(tmp_path), lambda name, subset=subset: name if "emnist" in name else emnist(name, subset))
    with pytest.raises(BadInput, match=r"holds several sets \(emnist-digits-train-images-idx3-ubyte, emnist-letters"):
        IDX(tmp_path).load()


def test_a_set_of_one_image_repeated_is_refused(write_set, to_idx, tmp_path):
    (write_set(tmp_path) / FILES[0]).write_bytes(to_idx(torch.zeros(7, 28, 28, dtype=torch.uint8)))
    with pytest.raises(BadInput, match="holds one image 7 times"):
        IDX(tmp_path, n_validation=2).load()


def test_a_set_of_one_image_cannot_be_split(write_set, to_idx, tmp_path):
    write_set(tmp_path)
    (tmp_path / FILES[0]).write_bytes(to_idx(torch.full((1, 28, 28), 9, dtype=torch.uint8)))
    (tmp_path / FILES[1]).write_bytes(to_idx(torch.ones(1, dtype=torch.uint8)))
    with pytest.raises(BadInput, match="holds one image; training and validation need at least one each"):
        IDX(tmp_path, n_validation=1).load()


def test_bits_are_no_bytes(write_set, to_idx, tmp_path):
    bits = torch.zeros(7, 28, 28, dtype=torch.uint8)
    bits[:, 3, 4:9] = torch.tensor([0, 1, 1, 0, 1], dtype=torch.uint8)
    bits[0] = 0
    (write_set(tmp_path) / FILES[0]).write_bytes(to_idx(bits))
    with pytest.raises(BadInput, match="its bytes are 0 and 1"):
        IDX(tmp_path, n_validation=2).load()


def test_streams_of_xz_follow_one_another():
    assert torch.equal(read_idx(lzma.compress(GOOD[:9]) + lzma.compress(GOOD[9:]) + bytes(4)), read_idx(GOOD))
    with pytest.raises(BadInput, match="corrupt compressed file"):
        read_idx(lzma.compress(GOOD) + b"more")


def test_links_to_files_that_are_not_there_are_no_files(tmp_path):
    for name in FILES:
        (tmp_path / name).symlink_to(tmp_path / "absent" / name)
    with pytest.raises(BadInput, match=f"holds no {FILES[0]}"):
        IDX(tmp_path).load()
