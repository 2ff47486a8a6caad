"""The documentation holds: links lead somewhere, examples load, generated pages are up to date."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from byline.cli.app import COMMANDS
from byline.cli.events_page import events_page
from byline.cli.reference import cli_page, settings_page
from byline.settings import load

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SET_UP = [ROOT / f"docs/how-to/{name}.md" for name in ("claude-code", "codex", "providers", "sdk-programs")]
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]+))?\)")
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECTIONS = ("gateway", "providers", "identity", "journal", "ledger", "auth", "console", "upstream", "prices")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_pages_and_headings_that_exist(page):
    for target, anchor in LINK.findall(page.read_text()):
        if target.startswith("http"):
            continue
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(linked), f"{target}#{anchor} has no heading"


def test_a_default_of_zero_that_means_something_else_is_shown_as_what_it_means():
    assert '| `retention` | duration or `forever` | `"forever"` |' in settings_page()
    assert '"0ms"' not in settings_page()


def test_files_named_in_the_architecture_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_]+)*(?:\.py|/))`", text)
    assert len(named) > 20
    data_dir = {"journal/", "status/", "prices/"}
    missing = [
        path
        for path in named
        if path not in data_dir and not ((ROOT / "src/byline" / path).exists() or (ROOT / path).exists())
    ]
    assert missing == []


@pytest.mark.parametrize("page", SET_UP, ids=name)
def test_a_set_up_ends_with_how_to_verify_and_what_to_do_about_trouble(page):
    headings = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
    assert headings[-2:] == ["Verify", "Troubleshooting"]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_settings_in_examples_can_be_loaded(page, tmp_path):
    for number, block in enumerate(TOML.findall(page.read_text())):
        example = tomllib.loads(block)
        if not any(section in example for section in SECTIONS):
            continue  # another program's file
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        load(file, {})


@pytest.mark.parametrize(
    ("file", "page"), [("settings.md", settings_page), ("cli.md", cli_page), ("events.md", events_page)]
)
def test_reference_pages_are_up_to_date(file, page):
    written = (ROOT / "docs/reference" / file).read_text()
    assert written == page().rstrip("\n") + "\n", "run `make docs`"


def test_every_command_is_documented():
    page = (ROOT / "docs/reference/cli.md").read_text()
    assert [command for command in COMMANDS if f"## `byline {command}" not in page] == []


@pytest.mark.parametrize("directory", ["how-to", "explanation", "reference"])
def test_every_page_is_in_the_index(directory):
    index = (ROOT / "docs/index.md").read_text()
    pages = ROOT.glob(f"docs/{directory}/*.md")
    assert [page.name for page in pages if f"({directory}/{page.name})" not in index] == []


def test_every_decision_is_listed():
    listed = (ROOT / "docs/decisions/README.md").read_text()
    decisions = ROOT.glob("docs/decisions/[0-9]*.md")
    assert [page.name for page in decisions if f"({page.name})" not in listed] == []
