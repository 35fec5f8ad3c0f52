"""What the words of a command line may be: numbers in their ranges, paths, names, and what commands share."""

import argparse
import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from ebmnist.output import is_text, put, tell
from ebmnist.reading import from_home

BASIC_OVERRIDES = ("--name", "--about", "--seed", "--device")


class OneLineParser(argparse.ArgumentParser):
    """argparse, with errors of one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        message = message.removeprefix("argument ").replace(": must be", " must be", 1)
        if message.endswith("expected one argument"):
            message += "; one that begins with a dash is given as --option=-value"
        tell(f"{self.prog}: {message} (see {self.prog} --help)")
        self.exit(2)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        near = difflib.get_close_matches(str(value), action.choices, 1)
        mend = f"did you mean {near[0]}?" if near else f"use one of {', '.join(action.choices)}"
        raise argparse.ArgumentError(action, f"{value!r} is unknown; {mend}")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        value = super()._get_values(action, arg_strings)
        if action.nargs is None and value == []:  # `--n=--`, whose value argparse drops
            raise argparse.ArgumentError(action, "expected one argument")
        return value

    def _print_message(self, message: str, file: object = None) -> None:  # noqa: ARG002 (it is help, for stdout)
        put(message, end="")


@dataclass(frozen=True)
class Whole:
    """A whole number from `least` to `most`."""

    least: int
    most: int

    def __call__(self, word: str) -> int:
        """Return the number. Raises `ArgumentTypeError`."""
        try:
            value = int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, not {word!r}") from None
        if value < self.least:
            raise argparse.ArgumentTypeError(f"must be ≥ {self.least}, not {word}")
        if value > self.most:
            raise argparse.ArgumentTypeError(f"must be ≤ {self.most:,}, not {word}")
        return value


SEED = Whole(0, 2**63 - 1)
MODEL = "a run folder (its latest checkpoint), one checkpoint, or pretrained, which comes with ebmnist"
MOST_STEPS = 10**9  # of one chain

Subparsers: TypeAlias = "argparse._SubParsersAction[OneLineParser]"


def sigma(word: str) -> float:
    """Return a standard deviation of pixels on [0, 1]. Raises `ArgumentTypeError`."""
    try:
        value = float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {word!r}") from None
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be > 0, not {word}")
    if value > 1:
        asked = f"; did you mean {value / 255:.3g}, which is {word} of 255?" if value <= 255 else ""
        raise argparse.ArgumentTypeError(f"must be ≤ 1, since pixels are on [0, 1], not {word}{asked}")
    return value


def box(word: str) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of a box of pixels in 28 x 28, ends left out. Raises `ArgumentTypeError`."""
    try:
        top, left, bottom, right = (int(part) for part in word.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be four whole numbers, TOP,LEFT,BOTTOM,RIGHT, not {word!r}") from None
    if not (0 <= top < bottom <= 28 and 0 <= left < right <= 28):
        raise argparse.ArgumentTypeError(f"must have 0 ≤ TOP < BOTTOM ≤ 28 and 0 ≤ LEFT < RIGHT ≤ 28, not {word}")
    return top, left, bottom, right


def factor(word: str) -> int:
    """Return how many pixels of 28 become one, along a side. Raises `ArgumentTypeError`."""
    if word not in ("2", "4", "7"):
        raise argparse.ArgumentTypeError(f"must be 2, 4 or 7, not {word!r}")
    return int(word)


def blur(word: str) -> float:
    """Return the standard deviation of a blur in pixels, 0.1 to 10. Raises `ArgumentTypeError`."""
    try:
        value = float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {word!r}") from None
    if not 0.1 <= value <= 10:
        raise argparse.ArgumentTypeError(f"must be from 0.1 to 10 pixels, not {word}")
    return value


def rate(word: str) -> float:
    """Return a share, above 0 and below 1. Raises `ArgumentTypeError`."""
    try:
        value = float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {word!r}") from None
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 1, such as 0.05, not {word}")
    return value


def names(word: str) -> list[str]:
    """Return the names in a list such as `fidelity,ood`. Raises `ArgumentTypeError`."""
    found = [name.strip() for name in word.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("names nothing; leave it out for all, or give names such as fidelity,ood")
    return found


def axis(word: str) -> tuple[str, list[str]]:
    """Return a field and its values, of words such as `training.lr=1e-3,2e-3`. Raises `ArgumentTypeError`.

    >>> axis("training.lr=1e-3,2e-3"), axis("sampling.clamp=[0,1],null")
    (('training.lr', ['1e-3', '2e-3']), ('sampling.clamp', ['[0,1]', 'null']))
    """
    name, given, values = text(word).partition("=")
    found = [value.strip() for value in re.split(r",(?![^\[]*\])", values)]
    if not (name and given and all(found)):
        raise argparse.ArgumentTypeError(f"must be a field and its values, as training.lr=1e-3,2e-3, not {word!r}")
    if len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"{word!r} has a value twice; leave one out")
    return name, found


def text(word: str) -> str:
    """Return words that are not empty, and can be written as UTF-8. Raises `ArgumentTypeError`."""
    if not word.strip():
        raise argparse.ArgumentTypeError("is empty; give it a value, or leave it out")
    if not is_text(word):
        raise argparse.ArgumentTypeError(f"{word!r} is not UTF-8; use other characters")
    return word


def file_path(word: str) -> Path:
    """Return a path that the system can look for, `~` expanded, there or not. Raises `ArgumentTypeError`."""
    if not word:
        raise argparse.ArgumentTypeError("is empty; give a path")
    path = from_home(word)
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return path
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{word!r} ({error.strerror}); choose another path") from None
    except ValueError as error:  # a NUL
        raise argparse.ArgumentTypeError(f"{word!r} ({error}); choose another path") from None
    return path


def input_file(word: str) -> Path:
    """Return a path that is not a device, which might be read without an end. Raises `ArgumentTypeError`."""
    path = file_path(word)
    if path.is_char_device() or path.is_block_device():
        raise argparse.ArgumentTypeError(f"{word!r} is a device; give a file of images")
    return path


def split_overrides(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part a command line into the command's own words and the recipe's fields, `--section.field value`.

    >>> split_overrides(["run", "--training.lr", "1e-3", "smoke", "--seed=3"])
    (['run', 'smoke'], ['--training.lr', '1e-3', '--seed=3'])
    """
    own: list[str] = []
    fields: list[str] = []
    words = iter(argv)
    for word in words:
        key = word.partition("=")[0]
        if not (key.startswith("--") and ("." in key or key in BASIC_OVERRIDES)):
            own.append(word)
            continue
        fields.append(word)
        if "=" not in word and (value := next(words, None)) is not None:
            fields.append(value)
    return own, fields


def add_command(commands: Subparsers, name: str, about: str, epilog: str = "") -> argparse.ArgumentParser:
    """Add the parser of one command."""
    raw = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=about, description=about, epilog=epilog, formatter_class=raw)


def common(parser: argparse.ArgumentParser) -> None:
    """Add --force and --device."""
    parser.add_argument("--force", action="store_true", help="overwrite FILE if it exists")
    device(parser)


def data_root(parser: argparse.ArgumentParser) -> None:
    """Add --data.root."""
    about = "where the data of the recipe are now, if they were moved"
    parser.add_argument("--data.root", dest="data_root", type=file_path, metavar="FOLDER", help=about)


def device(parser: argparse.ArgumentParser, default: str | None = "cpu") -> None:
    """Add --device."""
    whose = default or "the recipe's own, a GPU if there is one"
    parser.add_argument(
        "--device", type=text, default=default, help=f"where to compute: auto, cpu, cuda, … (default: {whose})"
    )
