"""`guilder conform` against a platform that runs: what is refused, a run, the keys."""

import json

from tests.journeys.bare_hands import guilder


def conform(platform, contract, url, *more):
    return guilder("conform", contract, "--url", url, *more, data=platform.data, check=False)


def test_what_may_not_be_tested_is_refused_with_a_way_out(platform):
    for contract, url, said in (
        ("pricing", "http://10.20.0.1:9100", "GUILDER_OUTBOUND_ALLOW"),
        ("pricing", "https://169.254.169.254", "not on the public internet"),
        ("ledger", "https://editions.invalid", "ledger stays stock"),
        ("catering", "https://editions.invalid", "no contract catering"),
    ):
        done = conform(platform, contract, url)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_a_run_is_followed_to_its_end(platform):
    """The registry itself takes it up; the name has no address anywhere (RFC 6761)."""
    done = conform(platform, "pricing", "https://editions.invalid", "--json")
    assert done.returncode == 2
    run = json.loads(done.stdout)
    assert (run["state"], run["checks"], run["attestation"]) == ("broken", [], None)
    assert run["reason"].startswith(("it cannot be asked", "no answer within"))
    shown = guilder("contract", "attestations", data=platform.data, check=False)
    assert (shown.returncode, shown.stdout.strip()[:19]) == (0, "nothing is attested")


def test_a_bank_reads_the_keys_by_which_its_editions_know_us(platform):
    """In split mode too: registry holds its own key and the one towards editions."""
    told = platform.machine("nordbank").get("/v1/edition-keys")
    assert [key["guilder_use"] for key in told["keys"]] == ["requests", "attestations"]
    key = platform.data / "secrets" / "registry" / "attestation.key"
    assert key.stat().st_mode & 0o777 == 0o600
