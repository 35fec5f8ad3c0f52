"""What every package may import: what a person's bad input raises, and what a package that cannot be imported does."""

# A package that is missing, of another version, or built for another system, raises any of these at its import.
UNIMPORTABLE = (ImportError, AttributeError, OSError, RuntimeError, SyntaxError, TypeError, ValueError)


class BadInput(ValueError):
    """Input a person can mend: its message is one line that names the thing and the mend.

    The command line prints the message alone and exits with code 2.
    """


class ToldElsewhere(BadInput):
    """Another rank of the same run says what went wrong: this one ends with code 2 and says nothing."""


def in_one_line(error: BaseException) -> str:
    """An exception's type and message, without line ends.

    >>> in_one_line(ImportError("No module\\nnamed 'torch'"))
    "ImportError: No module named 'torch'"
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class Unmeasurable(RuntimeError):
    """A section could not be measured; the message says in one line which and why."""
