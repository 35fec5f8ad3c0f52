import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ebmnist.data import locate as locate_module
from ebmnist.data.fashion_mnist import FashionMNIST
from ebmnist.data.kmnist import KMNIST
from ebmnist.data.layout import FILES
from ebmnist.data.locate import Published, locate, present
from ebmnist.errors import BadInput

NOWHERE = "http://127.0.0.1:9/"  # the discard port: refuses at once


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def host(tmp_path, write_set):
    """A server on this machine that has the four files, and the folder it serves."""
    served = write_set(tmp_path / "served", ".gz")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=served))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", served
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(locate_module, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache" / "ebmnist" / "toy"


def published(folder, base_url, **fields):
    md5 = {f"{name}.gz": hashlib.md5((folder / f"{name}.gz").read_bytes()).hexdigest() for name in FILES}
    return Published("toy", base_url, md5, **fields)


def test_installed_comes_first(tmp_path, write_set):
    installed = write_set(tmp_path / "installed", ".gz")
    assert locate(published(installed, NOWHERE, installed=installed)) == installed


def test_an_incomplete_installed_copy_is_passed_over(host, cache, tmp_path, write_set):
    url, served = host
    installed = write_set(tmp_path / "installed", ".xz")
    (installed / f"{FILES[2]}.xz").unlink()
    assert locate(published(served, url, installed=installed)) == cache


def test_what_was_downloaded_is_kept(host, cache):
    url, served = host
    assert locate(published(served, url)) == cache
    assert sorted(file.name for file in cache.iterdir()) == sorted(f"{name}.gz" for name in FILES)
    assert locate(published(served, NOWHERE)) == cache  # no network needed any more


def test_a_damaged_cache_is_mended(host, cache):
    url, served = host
    locate(published(served, url))
    (cache / f"{FILES[0]}.gz").write_bytes(b"half a fi")
    locate(published(served, url))
    assert (cache / f"{FILES[0]}.gz").read_bytes() == (served / f"{FILES[0]}.gz").read_bytes()


def test_present_finds_what_is_there_and_fetches_nothing(host, cache, tmp_path, write_set):
    url, served = host
    assert present(published(served, url)) is None
    assert not cache.exists()
    locate(published(served, url))
    assert present(published(served, url)) == cache
    installed = write_set(tmp_path / "installed", ".gz")
    assert present(published(served, url, installed=installed)) == installed


def test_no_network_is_one_line_that_names_the_url_and_the_mend(host, cache):
    _, served = host
    with pytest.raises(BadInput) as error:
        locate(published(served, NOWHERE))
    assert str(error.value).startswith(f"{NOWHERE}{FILES[0]}.gz cannot be fetched")
    assert "--data.root FOLDER" in str(error.value)
    assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


def test_a_file_gone_from_the_host(host):
    url, served = host
    wanted = published(served, url)
    (served / f"{FILES[1]}.gz").unlink()
    with pytest.raises(BadInput, match=rf"{FILES[1]}\.gz cannot be fetched into .* \(HTTPError\)"):
        locate(wanted)


def test_another_file_than_the_published_is_not_kept(host, cache):
    url, served = host
    wanted = published(served, url)
    (served / f"{FILES[0]}.gz").write_bytes(b"something else")
    with pytest.raises(BadInput, match="is not the published file"):
        locate(wanted)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("source", "key"), [(FashionMNIST, "fashion_mnist"), (KMNIST, "kmnist")])
def test_the_named_sets_load_from_wherever_they_lie(source, key, host, monkeypatch, tmp_path, write_set):
    url, served = host
    monkeypatch.setattr(f"ebmnist.data.{key}.PUBLISHED", published(served, url))
    for dataset in (
        source(n_validation=2).load(),
        source(write_set(tmp_path / "mine"), n_validation=2).load(),
    ):
        assert dataset.name == key
        assert [len(split.images) for split in dataset[1:]] == [5, 2, 3]
    assert [len(split.images) for split in source(n_validation=2, without=(0, 6)).load()[1:]] == [4, 1, 3]


@pytest.mark.parametrize("key", ["fashion_mnist", "kmnist"])
def test_the_published_lists_are_whole(key):
    module = __import__(f"ebmnist.data.{key}", fromlist=["PUBLISHED"])
    assert module.PUBLISHED.name == key
    assert set(module.PUBLISHED.md5) == {f"{name}.gz" for name in FILES}
    assert all(len(bytes.fromhex(digest)) == 16 for digest in module.PUBLISHED.md5.values())
    assert module.PUBLISHED.base_url.endswith("/")
