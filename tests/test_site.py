"""The pages: what the site holds, that links lead somewhere, and that every page can be found."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import recbole_marn

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("site_of_the_documentation", ROOT / "tools" / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def settings_of_the_site():
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))


def paths(entry):
    """Every page that a part of the navigation names."""
    if isinstance(entry, str):
        return [entry]
    return [path for part in (entry.values() if isinstance(entry, dict) else entry) for path in paths(part)]


def test_every_page_is_in_the_navigation_once(site, settings_of_the_site):
    named = paths(settings_of_the_site["nav"])
    pages = {place for place in site.pages().values() if place.endswith(".md")}
    assert sorted(named) == sorted(pages)


def test_braces_at_the_end_of_a_cell_are_shown(settings_of_the_site):
    """`attr_list` would take those of a table of settings for attributes of the cell."""
    assert "attr_list" not in settings_of_the_site["markdown_extensions"]


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs", "results"])
def test_every_link_of_a_page_leads_to_a_file(page, site):
    path = ROOT / page
    for source in [path] if path.is_file() else sorted(path.rglob("*.md")):
        for link in site.links_of(source.read_text("utf-8")):
            target = link.group(3)
            if "://" not in target and not target.startswith("#"):
                assert (source.parent / target.split("#")[0]).exists(), f"{source.relative_to(ROOT)}: {link.group()}"


def test_links_between_folders_are_rewritten(site):
    places = {"docs/a.md": "a.md", "results/README.md": "results/README.md", "CHANGELOG.md": "changelog.md"}
    text = (
        "[r](../results/README.md#x) [c](../CHANGELOG.md) [code](../setup.py) `[no](link.md)` [far](https://a.b/c.md)"
    )
    assert site.moved(text, "docs/a.md", places) == (
        "[r](results/README.md#x) [c](changelog.md) code `[no](link.md)` [far](https://a.b/c.md)"
    )
    with pytest.raises(SystemExit, match="there is no docs/nowhere.md"):
        site.moved("[n](nowhere.md)", "docs/a.md", places)


def test_dead_links_of_a_built_site_are_found(site, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "index.html").write_text(
        '<a href="b/">b</a><a href="c/">c</a><a href="b/#there">t</a><a href="b/#no">n</a><a href="../">up</a>'
    )
    (tmp_path / "b" / "index.html").write_text(
        '<h2 id="there"></h2><img src="../no.svg"><a href="https://a.b/">far</a>'
    )
    assert site.dead_links(tmp_path) == [
        "b/index.html: ../no.svg",
        "index.html: c/",
        "index.html: b/#no (no such heading)",
        "index.html: ../",
    ]


def test_the_reference_has_every_public_name():
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    for name in recbole_marn.FACE:
        assert f"(#recbole_marn.{name})" in page and f"\n::: recbole_marn.{name}\n" in page


def test_the_reference_has_every_layer():
    page = (ROOT / "docs" / "api-layers.md").read_text("utf-8")
    layers = {path.stem for path in (ROOT / "recbole_marn" / "layers").glob("*.py")} - {"__init__", "occurrences"}
    assert set(re.findall(r"^::: recbole_marn\.layers\.(\w+)$", page, flags=re.MULTILINE)) == layers


def test_the_figure_is_what_its_script_draws():
    spec = importlib.util.spec_from_file_location("draw_model", ROOT / "tools" / "draw_model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.OUT.read_text("utf-8") == module.drawing()


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_or_a_dead_link(site):
    """As CI does; what is built can be searched, and its reference has the docstrings."""
    pytest.importorskip("zensical", reason="the extra docs is not installed")
    done = subprocess.run([sys.executable, "tools/site.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    reference = (ROOT / "site" / "api" / "index.html").read_text("utf-8")
    assert all(f'id="recbole_marn.{name}"' in reference for name in recbole_marn.FACE)
    assert re.search(r"score the test part once", reference)
    assert "gradient reversal" in (ROOT / "site" / "search.json").read_text("utf-8").lower()
