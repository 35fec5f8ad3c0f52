"""The command line: parse, call, print. `ebmnist --help` starts here, and does not import torch."""

import os
import sys
from collections.abc import Sequence

import ebmnist
from ebmnist.arguments import split_overrides
from ebmnist.errors import UNIMPORTABLE, BadInput, ToldElsewhere, in_one_line
from ebmnist.output import any_encoding, is_text, put, tell, tell_of_logs
from ebmnist.parser import build_parser
from ebmnist.signals import Interrupted, answered_by, interrupt

# How long libgomp, PyTorch's OpenMP on Linux, has idle threads spin: some microseconds, not milliseconds. On a machine
# with other work, threads that spin keep the processors from the thread that they wait for (benchmarks/busy.py).
SPINS = {"GOMP_SPINCOUNT": "1000"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Only --help and words that cannot be parsed raise: `SystemExit`."""
    try:
        with any_encoding(), answered_by(interrupt):
            return _to_its_end(list(sys.argv[1:] if argv is None else argv))
    except Interrupted as again:  # while the first signal was being told of, or the command was ending
        return again.exit_code


def _to_its_end(words: list[str]) -> int:
    """Run one command, and say in one line why it could not be done."""
    try:
        return _command(words)
    except ToldElsewhere:
        return 2
    except BadInput as error:
        tell(f"ebmnist: {error}")
        return 2
    except KeyboardInterrupt as error:
        tell("ebmnist: interrupted")
        return error.exit_code if isinstance(error, Interrupted) else 130
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        return 0
    except OSError as error:
        tell(f"ebmnist: {error.filename or 'the system'}: {error.strerror or error}; mend that and try again")
        return 2


def _command(words: list[str]) -> int:
    own, fields = split_overrides(words) if words and words[0] in ("run", "train", "resume", "sweep") else (words, [])
    parser = build_parser()
    args = parser.parse_args(own)
    if args.version:
        put(ebmnist.__version__)
        return 0
    if args.command is None:
        parser.print_help()
        return 0
    for field in fields:
        if not is_text(field):
            raise BadInput(f"{field!r}: is not UTF-8; use other characters")
    tell_of_logs()
    if not {"OMP_WAIT_POLICY", *SPINS} & os.environ.keys():
        os.environ |= SPINS  # read when torch is imported
    try:
        from ebmnist import commands  # imports torch: only now, so that --help is quick

        command = commands.command_of(args.command)
    except UNIMPORTABLE as error:
        raise BadInput(f"cannot start ({in_one_line(error)}); mend that package in {sys.prefix}") from error
    commands.check_launched(args.command)
    return command(args, fields)


if __name__ == "__main__":
    sys.exit(main())
