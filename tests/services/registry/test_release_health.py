"""What a stranger says where a release of ours was to say what it is."""

import pytest

from guilder.contracts.registry import v1
from guilder.services.registry.release import LARGEST_HEALTH, read_health

LINE = b'{"edition": "A", "version": "1.0.0"}'
MANY = b",".join(b'"s%s": %s' % (b"x" * n, LINE) for n in range(1, 34))


def test_a_health_report_is_read_whatever_else_it_holds():
    body = b'{"ok": true, "services": {"pricing": {"edition": "A", "version": "1.0.0", "x": 1}}}'
    assert read_health(body) == {"pricing": ("A", "1.0.0")}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"<html>inside</html>",
        b"\xff",
        b'{"services": null}',
        b'{"services": {"pricing": null}}',
        b'{"services": {"pricing": ["A", "1.0.0"]}}',
        b'{"services": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"services": {"pricing": {"edition": "\\ud800", "version": "1.0.0"}}}',
        b'{"services": {"\\ud800": ' + LINE + b"}}",
        b'{"services": {"pricing": {"edition": "A", "version": "\\u001b[31m"}}}',
        b'{"services": {"pricing": {"edition": "A\\u202e", "version": "1.0.0"}}}',
        b'{"services": {"pricing": {"edition": "A", "version": "' + b"v" * 5_000 + b'"}}}',
        b'{"services": {"pricing": {"edition": NaN, "version": 1e999}}}',
        b'{"services": {"pricing": ' + LINE + b', "pricing": ' + LINE + b"}}",
        b'{"services": {' + MANY + b"}}",
        b'{"services": {"pricing": ' + LINE + b"}" + b" " * LARGEST_HEALTH + b"}",
    ],
)
def test_what_is_none_is_refused_in_our_own_words(body):
    with pytest.raises(v1.ReleaseUnreachable) as refused:
        read_health(body)
    assert refused.value.detail == "what answers there is no process of this platform"
