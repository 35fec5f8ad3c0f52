"""The report: one HTML page that shows a whole run, pictures inside. It needs no network and no script."""

import re
import struct
import warnings
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from string import Template
from typing import NamedTuple

from PIL import Image

import ebmnist
from ebmnist.errors import BadInput
from ebmnist.reading import read_bytes
from ebmnist.reporting.atomic import write_file

FORMATS = ("PNG", "WEBP", "GIF")  # what every browser shows
# What Pillow raises of a picture cut short or altered; a GIF alone can raise three of them.
BROKEN = (OSError, EOFError, SyntaxError, ValueError, IndexError, struct.error, Image.DecompressionBombError)
LARGEST = 50_000_000  # bytes of a picture
N_PARTS_LISTED = 3  # a table of contents from so many parts on

# The policy holds the page to its word: a browser that reads it fetches nothing and runs nothing.
PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<link rel="icon" href="data:,">
<style>
$style</style>
</head>
<body>
<header>
<h1>$title</h1>
$about
</header>
<main>
$content
</main>
<footer>Written by ebmnist $version.</footer>
</body>
</html>
""")


class Part(NamedTuple):
    """A section of the report: words, then a table, then pictures; each may be missing. All text is plain."""

    title: str
    words: str = ""  # what is shown and how it was measured; a blank line starts a new paragraph
    pictures: tuple[Path, ...] = ()  # .png, .webp or .gif; a file's name is its caption
    columns: tuple[str, ...] = ()  # a table's header
    rows: tuple[tuple[str, ...], ...] = ()  # as many cells as columns; the first one names the row


def write_report(
    path: Path,
    *,
    title: str,
    about: str,
    facts: Mapping[str, str],
    headline: Sequence[tuple[str, str, str]],
    parts: Sequence[Part],
) -> Path:
    """Write one self-contained HTML page and return its path; the same input gives the same bytes.

    `headline` holds (name, value, note): a few large numbers, each with the real reference or baseline to read it by;
    `facts` says how the run was made. All text is plain and escaped.

    Raises:
        BadInput: a picture is missing or is no whole PNG, WebP or GIF, or `path` cannot be written.
        ValueError: a row has more or fewer cells than its table has columns.
    """
    sections = [_section(f"part-{number}", part) for number, part in enumerate(parts, 1)]
    content = [_cards(headline), _facts(facts), _contents(parts), *sections]
    page = PAGE.substitute(
        title=escape(title),
        style=files("ebmnist.reporting").joinpath("report.css").read_text(encoding="utf-8"),
        about=_paragraphs(about),
        content=_lines(content),
        version=escape(ebmnist.__version__),
    )
    # A file name that is no text holds lone surrogates, which UTF-8 cannot write.
    write_file(path, page.encode(errors="xmlcharrefreplace"))
    return path


def to_markdown(part: Part) -> str:
    """Return a part as Markdown: heading, words and table, less its pictures."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in (part.columns, *part.rows)]
    rows.insert(1, ["---"] * len(part.columns))
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n\n".join(block for block in (f"## {part.title}", part.words, table) if block) + "\n"


def _cards(headline: Sequence[tuple[str, str, str]]) -> str:
    cards = (
        f'<div><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd><dd>{escape(note)}</dd></div>'
        for name, value, note in headline
    )
    return _lines(('<dl class="headline">', *cards, "</dl>")) if headline else ""


def _facts(facts: Mapping[str, str]) -> str:
    pairs = (f"<div><dt>{escape(name)}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items())
    heading = '<section aria-labelledby="facts">\n<h2 id="facts">How it was made</h2>\n<dl class="facts">'
    return _lines((heading, *pairs, "</dl>\n</section>")) if facts else ""


def _contents(parts: Sequence[Part]) -> str:
    links = (f'<li><a href="#part-{i}">{escape(part.title)}</a></li>' for i, part in enumerate(parts, 1))
    listed = ('<nav aria-label="Contents">\n<ol>', *links, "</ol>\n</nav>")
    return _lines(listed) if len(parts) >= N_PARTS_LISTED else ""


def _section(name: str, part: Part) -> str:
    heading = f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(part.title)}</h2>'
    pictures = (_figure(part.title, path) for path in part.pictures)
    return _lines((heading, _paragraphs(part.words), _table(part), *pictures, "</section>"))


def _paragraphs(words: str) -> str:
    return _lines(f"<p>{escape(text.strip())}</p>" for text in re.split(r"\n\s*\n", words) if text.strip())


def _table(part: Part) -> str:
    """Return a table that scrolls sideways where it is too wide, its columns of numbers set right."""
    if any(len(row) != len(part.columns) for row in part.rows):
        raise ValueError(f"{part.title!r}: each row must have {len(part.columns)} cells, as there are columns")
    if not (part.rows and part.columns):
        return ""
    _, *columns = zip(*part.rows, strict=True)
    looks = [' class="number"' if _is_numeric(column) else "" for column in columns]
    frame = f'<div class="table" role="region" tabindex="0" aria-label="Table: {escape(part.title)}">\n<table>'
    head = f"<thead>\n{_row('col', part.columns, looks)}\n</thead>\n<tbody>"
    rows = (_row("row", row, looks) for row in part.rows)
    return _lines((frame, head, *rows, "</tbody>\n</table>\n</div>"))


def _row(scope: str, cells: Sequence[str], looks: Sequence[str]) -> str:
    """Return a row: all its cells are headers if it heads columns, the first one alone if it is headed by it."""
    tag = 'th scope="col"' if scope == "col" else "td"
    rest = (f"<{tag}{look}>{escape(cell)}</{tag[:2]}>" for look, cell in zip(looks, cells[1:], strict=True))
    return f'<tr><th scope="{scope}">{escape(cells[0])}</th>{"".join(rest)}</tr>'


def _is_numeric(column: Iterable[str]) -> bool:
    """Whether every cell starts as a number does, or says that there is none; '5.0 ± 0.2' is one, 'x²' is not."""
    return all(re.match(r"\s*([-+−±<>≤≥~≈]?\s*\.?\d|[-–—]?\s*$|nan$|[-+−]?inf$)", cell) for cell in column)


def _figure(title: str, path: Path) -> str:
    """Return a picture and its caption; on paper, and for those who ask for less motion, an animation's last frame."""
    picture = read_picture(path)
    caption = re.sub(r"[-_\s]+", " ", path.stem).strip()
    caption = caption[:1].upper() + caption[1:]
    alt = caption if caption == title else f"{title}: {caption}"
    width, height = picture.size
    look = f'width="{width}" height="{height}" alt="{escape(alt)}"'
    shown = f'<img src="{picture.uri}" {look}>'
    if picture.still:  # the style sheet chooses; <picture media="print"> is not heeded when a page is printed
        shown = f'<img class="moving" src="{picture.uri}" {look}>\n<img class="still" src="{picture.still}" {look}>'
    return f"<figure>\n{shown}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"


class _Picture(NamedTuple):
    uri: str
    size: tuple[int, int]
    still: str = ""  # an animation's last frame


def read_picture(path: Path) -> _Picture:
    """Read and decode a picture, so that a broken one is found here and not by the reader."""
    if not path.is_file():
        raise BadInput(f"{path}: no such picture; draw it first, or leave it out of the report")
    content = read_bytes(path, LARGEST)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of chunks that browsers do not use either
            return _decode(content)
    except BROKEN as error:
        raise BadInput(f"{path}: no whole PNG, WebP or GIF; draw it again as one") from error


def _decode(content: bytes) -> _Picture:
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        image.load()
        uri, n_frames, still = _to_uri(content, str(image.format)), getattr(image, "n_frames", 1), BytesIO()
        if n_frames == 1:
            return _Picture(uri, image.size)
        image.seek(n_frames - 1)
        image.convert("RGB").save(still, "PNG")
        return _Picture(uri, image.size, _to_uri(still.getvalue(), "PNG"))


def _to_uri(content: bytes, kind: str) -> str:
    return f"data:{Image.MIME[kind]};base64,{b64encode(content).decode()}"


def _lines(blocks: Iterable[str]) -> str:
    return "\n".join(block for block in blocks if block)
