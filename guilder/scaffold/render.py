"""Writes a scaffold: the files of a language, those of a contract, and four words put in.

The templates are real files. `LANGUAGE/base` is the agreement with the platform, the same for
every contract of that language; `LANGUAGE/CONTRACT` what the edition decides. A scaffold is both in
one folder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

TEMPLATES: Final = Path(__file__).parent / "templates"
BASE: Final = "base"
LANGUAGES: Final = ("python", "typescript", "go")

DOTTED: Final = {"gitignore", "npmrc"}
"""Files that begin with a dot in the scaffold alone: here they would rule over our own tree."""

NEXT: Final = {
    "python": (
        "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        ".venv/bin/python -m unittest",
        ".venv/bin/python serve.py",
    ),
    "typescript": ("npm ci", "npm run build && npm test", "npm start"),
    "go": ("go test ./...", "go build -trimpath -o {name} . && ./{name}"),
}
"""What to type in the new folder, in order."""

SETTINGS: Final = {
    "screening": "| `LIST` | the list file | `lists/own.json` |\n",
    "notifications": (
        "| `SMTP_URL` | `smtp://host:25` (a relay of your own network) or"
        " `smtps://user:password@host:465` | mails are written into `data/outbox/`, to look at |\n"
        "| `MAIL_FROM` | the sender's address | `noreply@bank.example` |\n"
        "| `DATA` | folder of what was delivered: keep it, it is why nothing goes out twice |"
        " `data/` |\n"
    ),
}
"""Rows of the README's table of settings that a contract has of its own."""


class NotEmpty(ValueError):
    """The folder holds something: a scaffold never overwrites."""


@dataclass(frozen=True)
class Wanted:
    """Which scaffold: `edition` is a letter from B on, `name` that of the package or program."""

    contract: str
    contract_version: str
    language: str
    edition: str
    name: str


def contracts() -> list[str]:
    """The contracts there are templates for."""
    return sorted(p.name for p in (TEMPLATES / LANGUAGES[0]).iterdir() if p.name != BASE)


def steps(wanted: Wanted) -> list[str]:
    """What to type in the new folder, in order."""
    return [step.format(name=wanted.name) for step in NEXT[wanted.language]]


def render(wanted: Wanted, target: Path) -> list[str]:
    """Write the scaffold into a folder that is new or empty; the names of its files.

    NotEmpty where something is there; FileExistsError where it is no folder.
    """
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise NotEmpty(f"{target} is not empty")
    words = {
        "__NAME__": wanted.name,
        "__EDITION__": wanted.edition,
        "__CONTRACT__": wanted.contract,
        "__CONTRACT_VERSION__": wanted.contract_version,
        "__SETTINGS__\n": SETTINGS.get(wanted.contract, "") + "\n",
    }
    written = []
    for part in (BASE, wanted.contract):
        folder = TEMPLATES / wanted.language / part
        for source in sorted(p for p in folder.rglob("*") if p.is_file()):
            if "__pycache__" in source.parts:
                continue
            name = str(source.relative_to(folder))
            name = f".{name}" if name in DOTTED else name
            text = source.read_text("utf-8")
            for word, value in words.items():
                text = text.replace(word, value)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(text, "utf-8")
            written.append(name)
    return sorted(written)
