"""What the gateway adds, beside a bare service in the same run (proof 8 of editions)."""

import json
import statistics
import subprocess

import pytest

from tests.journeys.bare_hands import GUILDER, ROOT


@pytest.mark.slow
def test_prove_8_the_gateway_is_measured_beside_a_bare_service_of_the_same_run():
    """Every answer was good, and the ratios are those of the rounds; how fast is not judged here:
    other work on the machine would judge too.
    """
    argv = [*GUILDER, "bench", "gateway", "--rounds", "1", "--seconds", "1", "--clients", "4"]
    done = subprocess.run([*argv, "--json"], capture_output=True, text=True, check=True, cwd=ROOT)
    result = json.loads(done.stdout)
    (each,) = result["rounds"]
    bare, gateway = each["bare"], each["gateway"]
    assert (bare["failed"], gateway["failed"]) == (0, 0)
    added = statistics.median([gateway["p50_ms"] - bare["p50_ms"]])
    assert result["added_p50_ms"] == pytest.approx(added, abs=0.001)
    assert result["latency_ratio"] == pytest.approx(gateway["p50_ms"] / bare["p50_ms"], abs=0.01)
    assert result["rps_ratio"] == pytest.approx(gateway["rps"] / bare["rps"], abs=0.01)
    # the gateway does everything that the bare service does, and its own steps
    assert gateway["p50_ms"] > bare["p50_ms"] > 0
    assert result["settings"] == {"rounds": 1, "seconds": 1.0, "clients": 4}
