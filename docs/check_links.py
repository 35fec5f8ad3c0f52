"""Follow every link inside a built site, and find what would need a network to read it.

    python docs/check_links.py docs/_build/html

Prints what is wrong and exits with 1; otherwise prints how much was checked.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The anchors of one page, its links, and the files it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag names and points to."""
        found = {name: value for name, value in attrs if value is not None}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "link" and "href" in found and found.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(found["href"])
        elif "src" in found:
            self.loads.append(found["src"])


def faults(site: Path) -> tuple[list[str], int, int]:
    """Return what is wrong with the site at `site`, and how many pages and links were looked at."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    wrong, n_links = [], 0
    for path, page in pages.items():
        here = path.relative_to(site.resolve())
        wrong += [f"{here}: loads {url}" for url in page.loads if urlsplit(url).netloc]
        for url in (*page.links, *page.loads):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            n_links += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                wrong.append(f"{here}: {url} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                wrong.append(f"{here}: {url} has no such anchor")
    return wrong, len(pages), n_links


def main() -> int:
    """Check the site whose folder is the argument."""
    wrong, n_pages, n_links = faults(Path(sys.argv[1]))
    for line in wrong:
        print(line)
    if not n_pages:
        print(f"{sys.argv[1]}: no pages")
    else:
        print(f"{n_pages} pages, {n_links} links and files inside the site, {len(wrong)} wrong")
    return 1 if wrong or not n_pages else 0


if __name__ == "__main__":
    sys.exit(main())
