"""Editions and scaffolds in other languages: what they stand on, how long they are, whose they are.

An edition in the tree began as a scaffold, and what it shares with one is kept equal: it is the
agreement with the platform, which is written once a language.
"""

import json
import re
from pathlib import Path

import house
import pytest

EDITIONS = house.ROOT / "editions"
FILE_MOST = 400  # as for Python: beyond this a file holds two subjects
LINE_MOST = 100
COMPILERS = {"typescript", "@types/node"}
LICENCES = {"MIT", "Apache-2.0", "BSD-3-Clause", "ISC"}

OWN = {
    "pricing-typescript": {"README.md", "package.json", "package-lock.json", "src/edition.ts"}
    | {"test/edition.test.ts"},
    "screening-go": {"README.md", "edition.go", "edition_test.go", "list.go", "lists/own.json"},
}
"""Files of a scaffold that an edition has made its own."""


def sources(*kinds: str) -> list[Path]:
    found = [
        path
        for folder in (EDITIONS, house.TEMPLATES)
        for kind in kinds
        for path in sorted(folder.rglob(kind))
        if not {"node_modules", "dist"} & set(path.parts)
    ]
    assert found
    return found


def test_a_lock_holds_exact_versions_and_hashes_and_no_address():
    for path in sources("package-lock.json"):
        assert "://" not in house.text(path), path
        packages = json.loads(house.text(path))["packages"]
        for name, package in packages.items():
            if name:
                assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"]), (path, name)
                assert package["integrity"].startswith("sha512-"), (path, name)
                assert package["license"] in LICENCES, (path, name)
                assert package["dev"], f"{path}: {name} is needed at run time"


def test_a_package_names_the_compiler_alone_and_pins_it():
    for path in sources("package.json"):
        package = json.loads(house.text(path))
        assert "dependencies" not in package, path
        assert set(package["devDependencies"]) == COMPILERS, path
        for version in package["devDependencies"].values():
            assert re.fullmatch(r"\d+\.\d+\.\d+", version), path


def test_go_stands_on_its_standard_library_and_says_since_when():
    for path in sources("go.mod"):
        assert re.fullmatch(r"module \S+\n\ngo 1\.\d+\n", house.text(path)), path


def test_an_edition_needs_nothing_of_ours():
    for path in sources("*.py", "*.ts", "*.go"):
        assert not re.search(r"(import|from) +[\"']?guilder", house.text(path)), path


def test_files_and_lines_are_short():
    for path in sources("*.ts", "*.go", "*.json"):
        lines = house.text(path).splitlines()
        assert len(lines) <= FILE_MOST, path
        if path.name != "package-lock.json":
            assert [n for n, line in enumerate(lines, 1) if len(line) > LINE_MOST] == [], path


@pytest.mark.parametrize("name", sorted(OWN))
def test_what_an_edition_shares_with_a_scaffold_is_equal(name, tmp_path):
    from guilder.scaffold.render import Wanted, render

    contract, language = name.split("-")
    wanted = Wanted(contract, "1.0.0", language, "B", f"company-x-{contract}")
    for file in set(render(wanted, tmp_path)) - OWN[name]:
        assert house.text(EDITIONS / name / file) == house.text(tmp_path / file), file


def test_every_edition_in_the_tree_is_known():
    assert {path.name for path in EDITIONS.iterdir() if path.is_dir()} == set(OWN)
