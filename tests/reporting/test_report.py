import io
import re
from base64 import b64decode
from html.parser import HTMLParser

import pytest
from PIL import Image

import ebmnist
from ebmnist.errors import BadInput
from ebmnist.reporting.report import Part, write_report

VOID = {"meta", "link", "img", "source"}


class Page(HTMLParser):
    """A page as a browser sees it: elements with their attributes, their text, and that every one is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text = [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open:
            self.text.setdefault(self.open[-1], []).append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture
def write(tmp_path):
    """Write a report and read it back as text."""

    def write(parts=(), *, title="ebmnist · mnist", about="", facts=None, headline=()):
        path = tmp_path / "report.html"
        assert write_report(path, title=title, about=about, facts=facts or {}, headline=headline, parts=parts) == path
        return path.read_text(encoding="utf-8")

    return write


@pytest.fixture
def draw(tmp_path):
    """Write a small picture: a frame for each grey."""

    def draw(name, *greys):
        frames = [Image.new("L", (6, 4), grey) for grey in greys]
        frames[0].save(tmp_path / name, save_all=len(frames) > 1, append_images=frames[1:], lossless=True)
        return tmp_path / name

    return draw


def from_uri(uri):
    kind, content = re.fullmatch(r"data:(image/\w+);base64,(\S+)", uri).groups()
    return kind, b64decode(content, validate=True)


@pytest.mark.parametrize("kind", ["png", "webp", "gif"])
def test_picture_is_inside_to_the_byte(write, draw, kind):
    path = draw(f"a.{kind}", 90)
    (image,) = Page(write([Part("Samples", pictures=(path,))])).all("img")
    assert from_uri(image["src"]) == (f"image/{kind}", path.read_bytes())
    assert (image["width"], image["height"]) == ("6", "4")


def test_file_name_is_the_caption_and_part_and_caption_the_alt_text(write, draw):
    pictures = (draw("film-strip.png", 1), draw("Energies.png", 2))
    page = Page(write([Part("Energies", pictures=pictures)]))
    assert page.text["figcaption"] == ["Film strip", "Energies"]
    assert [image["alt"] for image in page.all("img")] == ["Energies: Film strip", "Energies"]


@pytest.mark.parametrize("name", ["chain.webp", "chain.gif"])
def test_an_animation_brings_its_last_frame_for_paper_and_for_less_motion(write, draw, name):
    path = draw(name, 0, 100, 200)
    page = Page(write([Part("Chain", pictures=(path, draw("alone.png", 7)))]))
    moving, still, alone = page.all("img")
    assert [image.get("class") for image in (moving, still, alone)] == ["moving", "still", None]
    assert from_uri(moving["src"])[1] == path.read_bytes()
    kind, content = from_uri(still["src"])
    with Image.open(io.BytesIO(content)) as last:
        assert (kind, last.size, last.getextrema()) == ("image/png", (6, 4), ((200, 200),) * 3)
    (style,) = page.text["style"]
    both = "@media (prefers-reduced-motion: reduce), print { .still { display: inline; } .moving { display: none; } }"
    assert f".still {{ display: none; }} {both}" in " ".join(style.split())


def test_page_fetches_nothing_and_runs_nothing(write, draw):
    parts = [Part(f"Part {i}", "words", (draw("a.gif", 1, 2),), ("a",), (("b",),)) for i in range(3)]
    text = write(parts, about="about", facts={"seed": "0"}, headline=[("name", "1", "note")])
    page = Page(text)
    assert not {"script", "iframe", "object", "base", "form"} & {tag for tag, _ in page.elements}
    for _, attrs in page.elements:
        assert not [name for name in attrs if name.startswith("on") or name == "style"]
        for name in {"src", "srcset", "href"} & set(attrs):
            assert attrs[name].startswith(("data:", "#"))
    (style,) = page.text["style"]
    assert not re.search(r"url\(|@import|expression", style)
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_style_is_for_dark_phone_and_paper_and_its_braces_match(write):
    (style,) = Page(write()).text["style"]
    assert style.count("{") == style.count("}")
    for medium in ("prefers-color-scheme: dark", "max-width: 600px", "@media print", "prefers-reduced-motion"):
        assert medium in style
    assert set(re.findall(r"var\((--\w+)\)", style)) <= set(re.findall(r"(--\w+):", style))


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["--ink", "--muted", "--accent"])
@pytest.mark.parametrize("ground", ["--paper", "--card"])
def test_text_stands_out_from_its_ground(write, scheme, ink, ground):
    (style,) = Page(write()).text["style"]
    colours = dict(re.findall(r"(--\w+): (#\w{6});", re.findall(r":root \{(.+?)\}", style, re.DOTALL)[scheme]))
    dark, light = sorted([luminance(colours[ink]), luminance(colours[ground])])
    assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, criterion 1.4.3


EVIL = "</style></title><script>alert(1)</script> & \"quotes\" 'too' $title ${x} &amp; ²"


def test_all_text_is_escaped_and_read_back_as_it_was(write, draw):
    part = Part(EVIL, EVIL, (draw("a <b>&amp;.png", 1),), (EVIL, EVIL), ((EVIL, EVIL),))
    text = write([part] * 3, title=EVIL, about=EVIL, facts={EVIL: EVIL}, headline=[(EVIL, EVIL, EVIL)])
    assert "<script" not in text
    page = Page(text)
    counts = {"title": 1, "h1": 1, "h2": 3, "p": 4, "a": 3, "dt": 2, "dd": 3, "th": 9, "td": 3}
    assert {tag: page.text[tag].count(EVIL) for tag in counts} == counts
    assert page.text["figcaption"] == ["A <b>&amp;"] * 3
    assert {image["alt"] for image in page.all("img")} == {f"{EVIL}: A <b>&amp;"}


def test_blank_line_starts_a_paragraph_and_what_utf8_cannot_write_is_no_reason_to_fail(write):
    words = "\n one\n two\n \n\nthree\n"
    assert Page(write([Part("A", words)])).text["p"] == ["one\n two", "three"]
    assert "<p>runs/&#56559;</p>" in write(about="runs/\udcef")


def test_cards_and_facts_keep_their_order(write):
    page = Page(write(facts={"z": "1", "a": "2"}, headline=[("Fréchet", "5.0", "floor 1.3"), ("PSNR", "20.6", "")]))
    assert page.text["dt"] == ["Fréchet", "PSNR", "z", "a"]
    assert page.text["dd"] == ["5.0", "floor 1.3", "20.6", "1", "2"]
    assert page.text["h2"] == ["How it was made"]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 12])
def test_contents_list_three_parts_or_more_and_lead_to_them(write, n):
    page = Page(write([Part(f"Same title {i // 2}") for i in range(n)]))
    targets = [heading["id"] for heading in page.all("h2")]
    assert len(set(targets)) == n
    assert [link["href"] for link in page.all("a")] == ([f"#{name}" for name in targets] if n >= 3 else [])
    assert len(page.all("nav")) == (n >= 3)


def test_nothing_to_say_leaves_no_empty_boxes(write):
    tags = {tag for tag, _ in Page(write([Part("Alone", columns=("a", "b"))])).elements}
    assert not tags & {"dl", "table", "nav", "p", "figure"}


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (("5.0 ± 0.2", "−3", "+.5", "1,024", "99 %", "≤ 2", "1e-6"), True),
        (("1", "–", "", "nan", "-inf"), True),
        (("1", "model"), False),
        (("σ = 0.3",), False),
        (("info",), False),
        (("–Fréchet",), False),
    ],
)
def test_columns_of_numbers_are_set_right_but_the_first_names_its_row(write, cells, numeric):
    rows = tuple((cell, cell) for cell in cells)
    page = Page(write([Part("T", columns=("name", "value"), rows=rows)]))
    assert [head.get("scope") for head in page.all("th")] == ["col"] * 2 + ["row"] * len(rows)
    assert [head.get("class") for head in page.all("th")][:2] == [None, "number" if numeric else None]
    assert [cell.get("class") for cell in page.all("td")] == ["number" if numeric else None] * len(rows)


@pytest.mark.parametrize("row", [("1",), ("1", "2", "3"), ()])
def test_row_that_does_not_fit_its_table_is_refused(write, tmp_path, row):
    with pytest.raises(ValueError, match="'Denoising': each row must have 2 cells"):
        write([Part("Denoising", columns=("a", "b"), rows=(("1", "2"), row))])
    assert list(tmp_path.iterdir()) == []


def test_same_input_same_bytes_and_the_footer_names_the_version(write, draw):
    parts = [Part("A", pictures=(draw("a.webp", 1, 2),))]
    text = write(parts)
    assert write(parts) == text
    assert Page(text).text["footer"] == [f"Written by ebmnist {ebmnist.__version__}."]


def refusal(call):
    """What a call says when it refuses; nothing if it does not."""
    try:
        call()
    except BadInput as refused:
        return str(refused)
    return ""


def test_missing_picture_is_named_and_the_old_report_stays(write, tmp_path):
    before = write(about="before")
    path = tmp_path / "figures" / "samples.png"
    said = refusal(lambda: write([Part("Samples", pictures=(path,))]))
    assert said == f"{path}: no such picture; draw it first, or leave it out of the report"
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before


@pytest.mark.parametrize(("name", "greys"), [("a.png", [9]), ("a.png", [9, 5]), ("a.webp", [9, 5]), ("a.gif", [9, 5])])
def test_picture_cut_short_is_named_unless_it_still_decodes(write, draw, name, greys):
    path = draw(name, *greys)
    whole, said = path.read_bytes(), []
    for content in (b"no picture", *(whole[:n] for n in range(len(whole)))):
        path.write_bytes(content)
        said.append(refusal(lambda: write([Part("A", pictures=(path,))])))
    assert set(said) <= {"", f"{path}: no whole PNG, WebP or GIF; draw it again as one"}
    assert said.count("") <= 20  # a PNG without its end mark, a GIF cut between two frames


def test_what_browsers_do_not_show_and_what_is_no_file_are_refused(write, draw, tmp_path):
    for path in (draw("a.tiff", 1), tmp_path):
        assert refusal(lambda path=path: write([Part("A", pictures=(path,))])).startswith(f"{path}: ")


def test_report_that_cannot_be_written_is_refused(tmp_path):
    path = tmp_path / "missing" / "report.html"
    said = refusal(lambda: write_report(path, title="t", about="", facts={}, headline=(), parts=()))
    assert said.startswith(f"{path}: not written (")
