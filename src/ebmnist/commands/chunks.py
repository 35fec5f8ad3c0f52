"""How ranks write a file together, chunk by chunk."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ebmnist.console import say
from ebmnist.ranks import Ranks
from ebmnist.reporting.chunks import Chunks


@contextmanager
def writing(file: Chunks, asked: dict[str, Any], ranks: Ranks) -> Iterator[list[int]]:
    """Yield the chunks that are not there yet, which the ranks then write; at the end the file has its name.

    Raises:
        BadInput: chunks of another request are there, ranks differ, the disk refuses, or another rank ended.
    """
    with ranks.agreed():
        ranks.check_alike({name: str(value) for name, value in asked.items()})
    with ranks.agreed():
        if ranks.first:
            file.begin(asked)
    with ranks.agreed():  # nobody writes before all have looked
        missing = file.missing()
    if n_there := file.n_chunks - len(missing):
        say(f"going on with {file.folder}: {n_there} of {file.n_chunks} chunks are there")
    at_the_end = ranks.patient()
    with at_the_end.agreed():
        try:
            yield missing
        except KeyboardInterrupt:
            if file.folder.exists():
                say(f"stopped; what is done is in {file.folder}, and the same command goes on")
            raise
    with at_the_end.agreed():
        if ranks.first:
            file.finish()
