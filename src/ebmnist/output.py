"""Stdout and stderr: in any encoding, one message a line, and no traceback where they cannot be written."""

import io
import logging
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ebmnist.errors import BadInput

# Unicode categories that break a line, move the cursor or cannot be encoded: controls, line ends, lone surrogates.
UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
# Characters that turn the writing direction, so that a file name can look like another one.
DIRECTIONS = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def escaped(words: str) -> str:
    r"""Return `words` as one line that leaves a terminal alone; all that can be printed stays as it is.

    >>> print(escaped("[bold] é\n\x1b[31m"), escaped(os.fsdecode(b"\xff")))
    [bold] é\n\x1b[31m \udcff
    """
    return "".join(_escape(c) if unicodedata.category(c) in UNPRINTABLE or c in DIRECTIONS else c for c in words)


def is_text(words: str) -> bool:
    """Whether `words` can be written as UTF-8; a file name or an argument of other bytes cannot."""
    return not any(unicodedata.category(c) == "Cs" for c in words)


def tell(words: str) -> None:
    """Print one line on stderr, if there is one: `words` escaped, in one call, so that threads do not mix."""
    if sys.stderr is not None:
        try:
            sys.stderr.write(escaped(words) + "\n")
            sys.stderr.flush()
        except OSError:  # nobody is left to be told
            _abandon(sys.stderr)


def put(text: str, end: str = "\n") -> None:
    """Print on stdout, where programs read, and at once.

    Raises:
        BadInput: stdout is closed, or on a full device.
        BrokenPipeError: its reader, such as `head`, has had enough.
    """
    if sys.stdout is None:
        raise BadInput("stdout: is closed; send it to a file, or to /dev/null")
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except OSError as error:
        _abandon(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        raise BadInput(f"stdout: not written ({error.strerror}); send it elsewhere") from error


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


def tell_of_logs() -> None:
    """Show what the library has to say, such as that it compiles something: it says so through logging."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("ebmnist").setLevel(logging.INFO)


@contextmanager
def any_encoding() -> Iterator[None]:
    """Replace what stdout and stderr cannot encode, such as Greek in ASCII, instead of raising."""
    before = []
    for stream, instead in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            before.append((stream, stream.errors))
            stream.reconfigure(errors=instead)
    try:
        yield
    finally:
        for stream, errors in before:
            if not stream.closed:
                stream.reconfigure(errors=errors)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _abandon(stream: TextIO) -> None:
    """Send a stream that cannot be written to nowhere, or Python would try once more at its exit, and fail."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # a stream of another program's, without a file
        return
