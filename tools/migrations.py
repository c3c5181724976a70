"""Runs squawk over every migration, with the placeholders filled in as the runner does.

python -m tools.migrations
"""

import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from guilder.chassis.store import migrations
from guilder.contracts.catalogue import all_contracts

ROOT = Path(__file__).resolve().parent.parent


def write(folder: Path) -> list[str]:
    """Write every migration below a folder; their names there."""
    names: dict[str, str] = {}
    for service in all_contracts():
        if not (ROOT / "guilder" / "services" / service / "migrations").is_dir():
            continue
        for step, text in migrations(service):
            home = "chassis" if step.startswith("0000") else service
            names[f"{home}_{step}"] = text.replace(":login", f'"{service}"')
    for name, text in names.items():
        (folder / name).write_text(text, "utf-8")
    return sorted(names)


def main() -> int:
    """Squawk's exit status; 0 = nothing found."""
    squawk = Path(sysconfig.get_path("scripts")) / "squawk"
    with tempfile.TemporaryDirectory() as temporary:
        names = write(Path(temporary))
        config = ["--config", str(ROOT / ".squawk.toml"), "--reporter", "gcc"]
        done = subprocess.run(
            [squawk, *config, *names], cwd=temporary, check=False, capture_output=True, text=True
        )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
