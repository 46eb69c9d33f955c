"""Connection strings."""

from __future__ import annotations

import getpass

import pytest
from langgraph.checkpoint.jsonb._conninfo import to_url

USER = getpass.getuser()


@pytest.mark.parametrize(
    ("conninfo", "environ", "url"),
    [
        ("postgres://u:p@h:5433/d", {}, "postgres://u:p@/d?host=h&port=5433"),
        ("postgresql://u@h", {}, "postgres://u@/u?host=h"),
        ("host=h user=u dbname=d", {}, "postgres://u@/d?host=h"),
        (r"host=h user=u password='it\'s \\ @ /'", {}, "postgres://u:it%27s%20%5C%20%40%20%2F@/u?host=h"),
        ("host = h  user = u", {"PGPASSWORD": "secret"}, "postgres://u:secret@/u?host=h"),
        ("", {"PGHOST": "h", "PGUSER": "u", "PGDATABASE": "d", "PGPORT": "6432"}, "postgres://u@/d?host=h&port=6432"),
        ("postgres://h/d", {}, f"postgres://{USER}@/d?host=h"),
        ("postgres://u@h1:1,h2:2/d?sslmode=require", {}, "postgres://u@/d?host=h1,h2&port=1,2&sslmode=require"),
        ("postgres://u@[::1]:5433/d", {}, "postgres://u@/d?host=%3A%3A1&port=5433"),
        ("host=h user=u options='-c search_path=a' keepalives=1", {}, "postgres://u@/u?host=h&options=-c%20search_path%3Da"),
        ("postgres://u@/d?host=/run/postgresql", {}, "postgres://u@/d?host=%2Frun%2Fpostgresql"),
        ("postgres://u@h/d?ssl=true", {}, "postgres://u@/d?host=h&sslmode=require"),
        ("hostaddr=10.0.0.5 user=u", {"PGHOST": "other"}, "postgres://u@/u?host=10.0.0.5"),
        ("host=h hostaddr=10.0.0.5 user=u", {}, "postgres://u@/u?host=10.0.0.5"),
        ("host=h user=u", {"PGHOSTADDR": "10.0.0.5"}, "postgres://u@/u?host=10.0.0.5"),
        ("host=h user=u sslmode=verify-full", {}, "postgres://u@/u?host=h&sslmode=verify-full"),
        ("postgres://u:x?hunter2@h/d", {}, "postgres://u:x%3Fhunter2@/d?host=h"),
        ("postgres://u:a@b@h/d", {}, "postgres://u:a%40b@/d?host=h"),
        ("postgres://u:p@h?options=-c%20a=@b", {}, "postgres://u:p@/u?host=h&options=-c%20a%3D%40b"),
        ("postgres://u:%E2%82%AC%25@h/a%40b", {}, "postgres://u:%E2%82%AC%25@/a%40b?host=h"),
        ("host=h user=u password='a://b'", {}, "postgres://u:a%3A%2F%2Fb@/u?host=h"),
    ],
)
def test_a_connection_string_of_libpq_becomes_a_url(conninfo, environ, url):
    assert to_url(conninfo, environ) == url


@pytest.mark.parametrize(
    "conninfo",
    [
        "service=agents",
        "host=h nonsense=1",
        "host=h hostaddr=10.0.0.5 sslmode=verify-full",
        "hunter2",
        "mysql://u:hunter2@h",
        # A password with `/` has to be percent-encoded, for libpq too.
        "postgres://u:x/?hunter2@h/d",
        "postgres://u:x@y?hunter2@h/d",
        "postgres://u:/hunter2@h/d",
        "postgres://u:12/hunter2@h",
        # What isn't percent-encoded UTF-8 would be another password.
        "postgres://u:hunter2%zz@h/d",
        "postgres://u:hunter2%@h/d",
        "postgres://u:hunter2%FF@h/d",
        "postgres://u@h/d?options=hunter2%FF",
    ],
)
def test_what_is_no_connection_string_is_refused_and_not_shown(conninfo):
    with pytest.raises(ValueError, match=".") as raised:
        to_url(conninfo, {})
    assert "hunter2" not in str(raised.value)
    assert raised.value.__context__ is None


def test_a_url_of_another_database_is_refused_by_its_scheme():
    with pytest.raises(ValueError, match="postgresql://"):
        to_url("mysql://u@h/d", {})
