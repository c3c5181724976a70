"""Documentation cannot lag: the reference is made from the code, and names all there is."""

import importlib.util
import re
from pathlib import Path

import house
import pytest

from tools import reference
from tools.reference_commands import commands

DOCS = house.ROOT / "docs"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return reference.pages()


def test_the_reference_is_what_the_code_says(pages):
    there = {str(p.relative_to(DOCS / "reference")) for p in (DOCS / "reference").rglob("*.md")}
    assert there == set(pages), "run `make docs`"
    stale = [n for n, text in pages.items() if house.text(DOCS / "reference" / n) != text]
    assert stale == [], "run `make docs`"


def test_every_problem_is_documented(pages):
    missing = [
        p["code"] for p in reference.problems() if f"## `{p['code']}`" not in pages["problems.md"]
    ]
    assert missing == []


def test_every_setting_is_documented(pages):
    known = {variable for path in house.modules().values() for variable in variables_read(path)} | {
        n for kind in reference.settings_classes() for n, _, _ in kind.describe()
    }
    assert known
    assert [name for name in sorted(known) if f"| `{name}` |" not in pages["settings.md"]] == []


def variables_read(path: Path) -> set[str]:
    return set(reference.variables_in(house.text(path)))


def test_every_operation_is_documented(pages):
    missing = [
        o.id
        for o in house.operations()
        if f"\n### {o.name}\n`{o.method} " not in pages[f"contracts/{o.contract}.md"]
    ]
    assert missing == []


def test_every_command_and_option_is_documented(pages):
    if importlib.util.find_spec("guilder.cli") is None:
        pytest.skip("there is no command line yet")
    from guilder.cli import main

    for name, command in commands(main):
        section = pages["commands.md"].partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert command.help, f"{name} has no help"
        for parameter in command.params:
            if getattr(parameter, "help", None) is None and parameter.param_type_name == "option":
                pytest.fail(f"{name}: {parameter.name} has no help")
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert f"`{parameter.opts[0]}" in section, f"{name}: {parameter.opts}"


def test_links_between_pages_lead_somewhere():
    broken = []
    for page in [*house.ROOT.glob("*.md"), *DOCS.rglob("*.md"), *house.SERVICES.rglob("*.md")]:
        prose = re.sub(r"`[^`\n]+`(?!\])", "", house.text(page))  # code has brackets of its own
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(house.ROOT)} → {target}")
    assert broken == []


def test_every_word_of_the_glossary_is_there():
    glossary = house.text(DOCS / "glossary.md").lower()
    words = ["party", "principal", "transfer", "hold", "pending", "payment", "mandate", "tenant"]
    words += ["proposal", "party reference", "call token", "road", "seam", "follower", "claim"]
    assert [word for word in words if f"**{word}**" not in glossary] == []


def test_decisions_are_numbered_without_gaps():
    numbers = [int(p.name[:4]) for p in sorted((DOCS / "decisions").glob("[0-9]*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in (DOCS / "decisions").glob("[0-9]*.md"):
        for heading in ("## Decision", "## Options"):
            assert heading in house.text(path), f"{path.name} lacks {heading!r}"
