import signal
from contextlib import contextmanager

import pytest


@pytest.fixture
def largest_file():
    """`with largest_file(n_bytes):` a real write stops halfway, as on a full disk, with no rights needed."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limit(n_bytes):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)

    return limit
