"""Builds the documentation site into site/: pages are collected, built in strict mode, and every link is followed.

    pip install -e ".[docs]" && python tools/site.py

A page lies where its links work on GitHub. The site holds docs/ at its top, results/ beside it, and the two pages of
`BESIDE`, so links between these folders are rewritten. A link to a file of the repository that the site does not hold,
such as source code, becomes its text.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
PAGES, SITE = ROOT / "build" / "pages", ROOT / "site"
BESIDE = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
SHOWN = {".md", ".svg", ".png", ".html", ".csv", ".yaml", ".css"}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def pages() -> dict[str, str]:
    """Path in the repository -> path in the site, of every file that the site holds."""
    docs = {path.relative_to(ROOT).as_posix(): path.relative_to(ROOT / "docs").as_posix() for path in files("docs")}
    results = {name: name for name in (path.relative_to(ROOT).as_posix() for path in files("results"))}
    return docs | results | BESIDE


def files(folder: str) -> list[Path]:
    """The files below a folder that a page may show: records and scores are not among them."""
    found = (path for path in (ROOT / folder).rglob("*") if path.suffix in SHOWN)
    return sorted(path for path in found if not {"records", "scores"} & set(path.relative_to(ROOT).parts))


def links_of(text: str) -> list[re.Match[str]]:
    """The Markdown links of a page, those in code left out."""
    code = [match.span() for match in re.finditer(r"^```.*?^```|`[^`\n]+`", text, re.MULTILINE | re.DOTALL)]
    return [
        link
        for link in LINK.finditer(text)
        if not any(low <= link.start() and link.end() <= high for low, high in code)
    ]


def moved(text: str, source: str, places: dict[str, str]) -> str:
    """A page with the links that it needs at its place in the site."""
    for link in reversed(links_of(text)):
        mark, label, target = link.groups()
        address = urlsplit(target)
        if address.scheme or not address.path:
            continue
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), unquote(address.path)))
        wanted = f"{wanted}/README.md" if (ROOT / wanted).is_dir() else wanted
        if wanted in places:
            start = posixpath.dirname(places[source]) or "."
            anchor = f"#{address.fragment}" if address.fragment else ""
            new = f"{mark}[{label}]({posixpath.relpath(places[wanted], start)}{anchor})"
        elif (ROOT / wanted).exists():
            new = label
        else:
            raise SystemExit(f"{source}: there is no {wanted}. Mend the link {link.group()}.")
        text = text[: link.start()] + new + text[link.end() :]
    return text


def collect() -> None:
    """Writes the pages to build/pages/."""
    shutil.rmtree(PAGES, ignore_errors=True)
    places = pages()
    for source, place in places.items():
        target = PAGES / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            target.write_text(moved((ROOT / source).read_text("utf-8"), source, places), "utf-8")
        else:
            shutil.copyfile(ROOT / source, target)


class Page(HTMLParser):
    """The addresses that a page of HTML names, and the anchors that it has."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = dict(attributes)
        self.anchors |= {known[name] for name in ("id", "name") if known.get(name)}
        self.links += [known[name] for name in ("href", "src") if known.get(name)]


def dead_links(site: Path) -> list[str]:
    """Every link of a built site that leads to no file or no anchor of it; other hosts are not asked."""
    known = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    dead = []
    for path, page in known.items():
        if path.name == "404.html":  # its addresses are those of the site's root, wherever that is
            continue
        for link in page.links:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            target = target / "index.html" if target.is_dir() else target
            if not (target.exists() and target.is_relative_to(site.resolve())):
                dead.append(f"{path.relative_to(site)}: {link}")
            elif address.fragment and target in known and unquote(address.fragment) not in known[target].anchors:
                dead.append(f"{path.relative_to(site)}: {link} (no such heading)")
    return dead


def main() -> None:
    collect()
    build = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="")
    if done.returncode or "griffe: " in done.stdout:  # griffe tells of docstrings that name what is not there
        raise SystemExit("The build told of faults; see above.")
    if dead := dead_links(SITE):
        raise SystemExit("Dead links:\n" + "\n".join(dead))
    print(f"{SITE}: {len(list(SITE.rglob('*.html')))} pages, no dead link")


if __name__ == "__main__":
    main()
