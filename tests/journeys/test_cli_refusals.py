"""What the command line is given wrongly ends with a sentence, never with a traceback."""

import json
import socket

import pytest
from click.testing import CliRunner

from guilder.cli import main
from guilder.cli.processes import _table
from tests.journeys.bare_hands import guilder


def refused(*argv):
    """Run a command that must be refused in this process; what it said."""
    done = CliRunner().invoke(main, list(argv))
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (1, 2)
    assert "Traceback" not in done.output
    return done.output


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["up", "--port", "99999"], "65535"),
        (["up", "--port", "-1"], "65535"),
        (["up", "--data", "/proc/nowhere"], "/proc/nowhere"),
        (["bench", "payments", "--rounds", "0"], "--rounds"),
        (["bench", "payments", "--clients", "0"], "--clients"),
        (["bench", "payments", "--seconds", "-1"], "--seconds"),
        (["bench", "payments", "--hot-share", "2"], "--hot-share"),
        (["bench", "gateway", "--clients", "0"], "--clients"),
        (["explain", "42"], "42"),
        (["explain", "0198c2f6-7a51-7000-8000-000000000000", "--data", "/nowhere"], "guilder up"),
        (["bench", "overload", "--seconds", "nan"], "nan is not a number"),
        (["bench", "overload", "--times", "nan"], "nan is not a number"),
        (["backup", "here/b", "--data", "here"], "would lie in here"),
        (["backup", "there", "--vault", "here/b", "--data", "here"], "would lie in here"),
        (["token", "--tenant", "a", "--user", "b", "--data", "/nowhere"], "guilder up"),
        (["status", "--data", "/nowhere"], "guilder up"),
        (["restart", "pricing", "--data", "/nowhere"], "guilder up"),
        (["restart", "--all", "--data", "/nowhere"], "guilder up"),
        (["migrate", "--data", "/nowhere"], "guilder up"),
        (["keys", "pricing", "--data", "/nowhere"], "no platform in /nowhere"),
        (["keys", "nobody"], "nobody"),
        (["keys"], "NAME"),
        (["serve", "nobody"], "nobody"),
        (["serve"], "NAME"),
        (["serve", "pricing"], "GUILDER_SERVE_PEERS"),
    ],
)
def test_wrong_arguments_end_with_a_sentence(argv, said):
    assert said in refused(*argv)


def test_a_wrong_value_is_named(platform):
    bind = ("binding", "propose", "nordbank", "pricing=A.1", "--url", "unix:/x")
    done = guilder(*bind, data=platform.data, check=False)
    assert done.returncode == 1
    assert "at $.version" in done.stderr


def test_a_taken_port_is_named_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = guilder("up", "--port", port, data=tmp_path / "data", check=False)
    assert done.returncode == 1
    assert f"port {port} cannot be opened" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data" / "postgres" / "data").exists()


def test_keys_make_no_call_secret_where_the_old_one_was_lost(tmp_path):
    """Nothing would tell any more that it was lost."""
    (tmp_path / "secrets").mkdir()
    assert "no platform" in refused("keys", "pricing", "--data", str(tmp_path))
    assert list((tmp_path / "secrets").iterdir()) == []


def test_a_platform_whose_supervisor_was_killed_is_not_running(tmp_path):
    (tmp_path / "run").mkdir()
    left = {"pid": 1, "identity": "of an earlier boot", "children": []}
    (tmp_path / "run" / "supervisor.json").write_text(json.dumps(left))
    for argv in (["status"], ["restart", "--all"]):
        assert "guilder up" in refused(*argv, "--data", str(tmp_path))


def test_keys_of_a_running_platform_are_those_of_the_pairs(platform):
    found = json.loads(guilder("keys", "pricing", data=platform.data).stdout)
    assert "payments>pricing" in found
    assert all("pricing" in pair or pair.startswith("process>") for pair in found)


@pytest.mark.parametrize("slug", ["", "..", "\udcff", "a\nb", "nowhere"])
def test_an_impossible_tenant_is_refused(platform, slug):
    output = refused("tenant", "show", slug, "--data", str(platform.data))
    assert "not valid" in output or "no such tenant" in output


def test_an_export_that_cannot_be_written_is_refused(platform):
    argv = ["export", "--tenant", "nordbank", "--format", "hledger", "--data", str(platform.data)]
    assert "/proc/nowhere/x" in refused(*argv, "--output", "/proc/nowhere/x")
    assert "No space left" in refused(*argv, "--output", "/dev/full")


@pytest.mark.parametrize("dsn", ["nonsense", "postgresql://x:y@127.0.0.1:1/p"])
def test_a_database_that_is_not_there_is_a_sentence(tmp_path, monkeypatch, dsn):
    for name in ("GUILDER_DATABASE", "GUILDER_VAULT_DATABASE"):
        monkeypatch.setenv(name, dsn)
    done = guilder("up", "--port", "0", data=tmp_path / "data", check=False)
    assert done.returncode == 1
    assert "databases cannot be prepared" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("silent", "said"), [(None, "since it started"), (7.4, "for 7 s")])
def test_a_process_that_does_not_hear_the_registry_is_told_of(silent, said):
    directory = {"generation": -1, "stale": True, "heard_s": silent}
    process = {"name": "pricing", "pid": 1, "restarts": 0, "ready": True, "directory": directory}
    (_, line) = _table([process])
    assert line.endswith(f"ready, registry not heard {said}")
