"""docs/operate/ has a page for each service and each other part, with the same headings, and what
the pages name exists.
"""

import re

import house
import pytest
from test_arch_cards import sections, tables, variables

from tools import reference

PAGES = house.ROOT / "docs" / "operate"
HEADINGS = [
    "When it is down",
    "When it is slow",
    "Watch",
    "Settings",
    "Feeds",
    "Tables that grow",
    "Restart, scale, repair",
    "Never",
]
PARTS = ["gateway", "supervisor", "postgresql"]
"""What is operated besides the services."""

METRIC = re.compile(r"guilder_[a-z_]+")
CATALOGUED = re.compile(r"^\| `(guilder_[a-z_]+)` \|", flags=re.MULTILINE)

every_service = pytest.mark.parametrize("name", house.services())


def page(name: str) -> str:
    return house.text(PAGES / f"{name}.md")


def named(section: str, pattern: str) -> set[str]:
    return set(re.findall(rf"`({pattern})`", section))


@pytest.mark.parametrize("name", house.services() + PARTS)
def test_every_part_has_its_page_with_the_same_headings(name):
    assert page(name).startswith(f"# {name}\n\n")
    found = sections(page(name))
    assert list(found) == HEADINGS
    assert [heading for heading, text in found.items() if not text.strip()] == []
    assert re.search(r"^\| [^|]*`guilder[^|]+\| \w", found["Watch"], flags=re.MULTILINE)


def test_every_page_is_found_from_the_first():
    linked = set(re.findall(r"\]\((\w+\.md)\)", house.text(PAGES / "README.md")))
    assert {path.name for path in PAGES.glob("*.md")} - {"README.md"} == linked


@every_service
def test_the_settings_of_a_service_are_explained(name):
    explained = named(sections(page(name))["Settings"], "GUILDER_[A-Z_]+")
    assert variables(name) <= explained


def test_settings_that_are_named_exist():
    there = named(reference.pages()["settings.md"], "GUILDER_[A-Z_]+")
    unknown = {
        path.name: named(house.text(path), "GUILDER_[A-Z_]+") - there for path in PAGES.glob("*.md")
    }
    assert {name: found for name, found in unknown.items() if found} == {}


@every_service
def test_the_feeds_that_a_service_follows_are_named(name):
    followed = set(house.calls_toml()["events"].get(name, {})) - {name}
    assert followed <= named(sections(page(name))["Feeds"], "[a-z]+")


@every_service
def test_every_table_of_a_service_is_named(name):
    assert tables(name) <= named(sections(page(name))["Tables that grow"], r"\w+")


def test_metrics_that_are_named_exist():
    catalogue = set(CATALOGUED.findall(page("observe")))
    for path in PAGES.glob("*.md"):
        found = {m.removesuffix("_bucket") for m in METRIC.findall(house.text(path))}
        assert found - catalogue == set(), path.name
