"""Every extra that an error or a page names is in setup.cfg, and brings the package that was missing."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {"PIL": "pillow", "faiss": "faiss-cpu"}  # where a package is not called as what it is imported by
NEEDED = [
    (path.name, *call)
    for path in sorted((ROOT / "recbole_marn").rglob("*.py"))
    for call in re.findall(r'\bneed\("([\w.]+)", "(\w+)"', path.read_text("utf-8"))
]


def extras():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", "utf-8")
    names = {}
    for extra, text in parser["options.extras_require"].items():
        lines = [line for line in text.split("\n") if line and not line.startswith("#")]
        names[extra] = {re.split(r"[<>=\[]", line)[0] for line in lines}
    return names


def test_calls_are_found():
    assert {extra for _, _, extra in NEEDED} == {"images", "vgg16", "words", "sentences", "parquet", "serve", "faiss"}


@pytest.mark.parametrize(("file", "package", "extra"), NEEDED)
def test_an_extra_brings_what_is_asked_for_in_its_name(file, package, extra):
    top = package.split(".")[0]
    assert DISTRIBUTIONS.get(top, top.replace("_", "-")) in extras()[extra]


def test_every_extra_a_page_names_exists():
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    named = {
        extra
        for page in pages
        for names in re.findall(r'(?:recbole-marn|-e "\.)\[([\w,]+)\]', page.read_text("utf-8"))
        for extra in names.split(",")
    }
    assert {"test", "images", "vgg16", "words", "sentences", "parquet"} <= named <= set(extras())
