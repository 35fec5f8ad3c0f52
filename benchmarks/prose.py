"""How do the project's texts read? Words a sentence (mean, longest), sentences over 35 words, numbers per 100 words.

Tables, code, formulas, headings and HTML are left out; code or a formula inside a sentence counts as one word, and so
does a value that a message fills in. A sentence has three words or more.

  python benchmarks/prose.py                     the documents, the docstrings, the messages and the command line's help
  python benchmarks/prose.py README.md a.py      only these: Markdown, Python, or a help text (.txt)
  python benchmarks/prose.py --limit             exit code 1 where a document breaks its limits (`make prose`)
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONG = 35  # words; a sentence over them is hard to follow
MEAN_LIMIT, NUMBERS_LIMIT = 16, 2  # of every document, with no sentence over LONG; numbers are README.md's alone
UNLIMITED = ("docs/log.md", "docstrings", "messages", "ebmnist --help")  # the log's entries are never rewritten
LEAST = 3  # words; less is a label

FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # of a notebook in Markdown
FENCED = re.compile(r"```.*?```|\$\$.*?\$\$", re.DOTALL)
UNREAD = re.compile(r"<!--.*?-->|</?[A-Za-z][^>]*>|!\[[^]]*\]\([^)]*\)", re.DOTALL)  # HTML and pictures
SKIPPED = re.compile(r"\s*(\||#|>|\[!\[|:::|\{)")  # a line of a table, a heading, a quotation, a badge, an anchor
PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+[.)])\s)")  # a list's items are paragraphs too
SENTENCE = re.compile(r"(?<=[.!?:])(?<!e\.g\.)(?<!i\.e\.)(?<!cf\.)(?<!vs\.)(?<!et al\.)\s+(?=[A-Z(])")
NUMBER = re.compile(r"(?<![\w.])[−-]?\d[\d,.]*")
DOCTEST = re.compile(r"^\s*>>>.*?(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
FIELDS = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):\n((?: {4}.*(?:\n|\Z)|\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Prose:
    """The sentences of a text."""

    sentences: tuple[str, ...]

    @property
    def sizes(self) -> list[int]:
        """Words of each sentence."""
        return [len(sentence.split()) for sentence in self.sentences]

    @property
    def mean(self) -> float:
        """Words a sentence."""
        return sum(self.sizes) / max(len(self.sizes), 1)

    @property
    def longest(self) -> int:
        """Words of the longest sentence."""
        return max(self.sizes, default=0)

    @property
    def long(self) -> list[str]:
        """The sentences over 35 words."""
        return [s for s, size in zip(self.sentences, self.sizes, strict=True) if size > LONG]

    @property
    def numbers(self) -> float:
        """Numbers per 100 words."""
        return 100 * sum(len(NUMBER.findall(s)) for s in self.sentences) / max(sum(self.sizes), 1)

    def row(self, name: str) -> str:
        """Its line of the table."""
        share = 100 * len(self.long) / max(len(self.sentences), 1)
        counts = f"{len(self.sentences):9,} {self.mean:5.1f} {self.longest:7} {share:4.0f} %"
        return f"{name:28} {counts} {self.numbers:11.1f}"


HEADER = f"{'text':28} {'sentences':>9} {'mean':>5} {'longest':>7} {'> 35':>6} {'numbers/100':>11}"


def prose(markdown: str) -> Prose:
    """The sentences of Markdown.

    >>> prose("Two links: [one](a.md) and `b`. It is e.g. 0.3 so far.").sizes
    [5, 6]
    """
    text = UNREAD.sub("", FENCED.sub("", FRONT.sub("", markdown)))
    lines = [line for line in text.splitlines() if not SKIPPED.match(line)]
    found: list[str] = []
    for paragraph in PARAGRAPH.split("\n".join(lines)):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", paragraph)
        plain = re.sub(r"\$[^$]*\$", "math", re.sub(r"`[^`]*`", "code", plain))
        parts = SENTENCE.split(" ".join(plain.replace("*", "").split()))
        found += [part for part in parts if len(part.split()) >= LEAST]
    return Prose(tuple(found))


def docstrings(source: str) -> str:
    """The docstrings of Python as Markdown, a string under a field included; doctests are code."""
    tree, found = ast.parse(source), []
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                plain = DOCTEST.sub("", _cleaned(text))
                found.append(FIELDS.sub(lambda fields: "\n\n" + _as_list(fields[2]), plain))
    return "\n\n".join(found)


def _cleaned(docstring: str) -> str:
    first, _, rest = docstring.strip().partition("\n")
    indents = [len(line) - len(line.lstrip()) for line in rest.splitlines() if line.strip()]
    return "\n".join([first, *(line[min(indents, default=0) :] for line in rest.splitlines())])


def _as_list(fields: str) -> str:
    return re.sub(r"^ {4}(?=\S)(?:\w+: )?", "\n\n", fields, flags=re.MULTILINE)


def messages(source: str) -> str:
    """What the exceptions that Python raises say, a paragraph each."""
    raised = [node.exc for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise)]
    texts = ("".join(_literal(arg)) for call in raised if isinstance(call, ast.Call) for arg in call.args)
    return "\n\n".join(" ".join(text.split()) for text in texts)


def _literal(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            for part in parts:
                yield from _literal(part)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from _literal(left)
            yield from _literal(right)
        case _:
            yield "code"  # a value filled in


def descriptions(help_text: str) -> str:
    """What a help text of argparse says of each command, a paragraph each; commands and usage are code."""
    found: list[str] = []
    for line in re.sub(r"^usage:.*?\n\n", "", help_text, flags=re.DOTALL).splitlines():
        indent = len(line) - len(line.lstrip())
        _, gap, said = line.strip().partition("  ")
        if 0 < indent < 8:
            found += ["", said.strip()] if gap else [""]
        elif re.fullmatch(r"[a-z ]+:", line):  # "options:"
            found.append("")
        else:
            found.append(line.strip())
    return "\n".join(found)


def texts_of(path: Path, name: str) -> dict[str, str]:
    """The texts of one file as Markdown, by the names that the table gives them."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return {f"{name} docstrings": docstrings(text), f"{name} messages": messages(text)}
    return {name: descriptions(text) if path.suffix == ".txt" else text}


def project() -> dict[str, str]:
    """The texts of the project."""
    files = [file for file in (ROOT / "docs").rglob("*.md") if "_build" not in file.parts]
    docs = sorted(file.relative_to(ROOT).as_posix() for file in files)
    names = ["README.md", *docs, "CONTRIBUTING.md", "CHANGELOG.md"]
    found = {name: (ROOT / name).read_text(encoding="utf-8") for name in names}
    sources = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "src/ebmnist").rglob("*.py"))]
    found["docstrings"] = "\n\n".join(map(docstrings, sources))
    found["messages"] = "\n\n".join(map(messages, sources))
    found["ebmnist --help"] = descriptions((ROOT / "tests/golden/help.txt").read_text(encoding="utf-8"))
    return found


def broken(name: str, text: Prose) -> Iterable[str]:
    """The limits that the document `name` breaks, a line each."""
    if text.mean > MEAN_LIMIT:
        yield f"{name}: {text.mean:.1f} words a sentence, over {MEAN_LIMIT}; split or shorten sentences"
    for sentence in text.long:
        yield f"{name}: {len(sentence.split())} words, over {LONG}; split it: {sentence}"
    if name == "README.md" and text.numbers > NUMBERS_LIMIT:
        yield f"{name}: {text.numbers:.1f} numbers per 100 words, over {NUMBERS_LIMIT}; move them to a table"


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if documents have to keep their limits and do not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="by default all texts of the project")
    parser.add_argument("--limit", action="store_true", help="exit code 1 where a document breaks its limits")
    args = parser.parse_args(words)
    if missing := [str(file) for file in args.files if not file.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    given = {name: text for file in args.files for name, text in texts_of(file, str(file)).items()}
    print(HEADER)
    for name, text in (given or project()).items():
        print(prose(text).row(name))
    limited = {name: text for name, text in project().items() if name not in UNLIMITED} if args.limit else {}
    found = [line for name, text in limited.items() for line in broken(name, prose(text))]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
