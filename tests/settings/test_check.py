"""Options that contradict each other, and names and addresses that can't work."""

from __future__ import annotations

from pathlib import Path

import pytest

from byline.settings import SettingsError, load


def problem(tmp_path: Path, text: str) -> str:
    file = tmp_path / "byline.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(file, {})
    (only,) = caught.value.problems
    assert only.startswith(f"{file}: ")
    return only


LOCAL = "[providers.local]\nkind = 'openai'\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[providers.local]\nbase_url = 'http://h'\n", 'write kind = "openai" or kind = "anthropic"'),
        (LOCAL, 'providers.local.base_url is missing: write base_url = "https://..."'),
        (LOCAL + "base_url = 'ftp://h'\n", "must be an address"),
        (LOCAL + "base_url = 'http://u:p@h'\n", "without user, query or fragment"),
        (LOCAL + "base_url = 'http://h:99999'\n", "must be an address"),
        (
            LOCAL + "base_url = 'http://h'\npath_prefix = '/openai'\n",
            "path_prefix is that of providers.openai",
        ),
        (LOCAL + "base_url = 'http://h'\npath_prefix = '/v1'\n", "outside /v1, /api"),
        (LOCAL + "base_url = 'http://h'\npath_prefix = 'local/'\n", "must be a path such as /local"),
        ("[providers.Local]\nbase_url = 'http://h'\nkind = 'openai'\n", "lower-case letters, digits and '-'"),
        ("[identity.antropic]\npolicy = 'keep'\n", "did you mean [identity.anthropic]?"),
        ("[gateway]\ntls_cert = 'a.pem'\n", "gateway.tls_key is missing"),
        ("[gateway]\ntls_key = 'a.pem'\n", "gateway.tls_cert is missing"),
        ("[gateway]\nmax_body_bytes = '2GiB'\n", "gateway.max_buffered_bytes is less than max_body_bytes"),
        ("[gateway]\nport = 8788\n", "gateway.port and console.port are both 8788"),
        ("[auth.jwt]\njwks_url = 'https://h'\njwks_file = 'f'\n", "both jwks_url and jwks_file"),
        ("[providers.openai.credentials.client]\napi_key_env = 'K'\n", "choose another name"),
        (
            "[ledger]\nengine = 'clickhouse'\n",
            'ledger.engine = "clickhouse" is not supported yet: write "duckdb"',
        ),
        (
            "[ledger]\nengine = 'bigquery'\n",
            'ledger.engine = "bigquery" is not supported yet: write "duckdb"',
        ),
    ],
)
def test_a_contradiction_is_refused_with_the_remedy(tmp_path, text, said):
    assert said in problem(tmp_path, text)


def test_a_key_written_where_its_variable_belongs_is_refused_unquoted(tmp_path):
    said = problem(tmp_path, "[providers.openai]\napi_key_env = 'sk-proj-secret'\n")
    assert "must be the name of an environment variable" in said
    assert "sk-proj" not in said


def test_a_team_in_two_credentials_is_refused(tmp_path):
    text = "".join(
        f"[providers.openai.credentials.{name}]\napi_key_env = 'K'\nteams = ['eval']\n" for name in ("a", "b")
    )
    assert "teams: 'eval' stands in a and b" in problem(tmp_path, text)


def test_prefix_and_trailing_slash_are_completed(tmp_path):
    file = tmp_path / "byline.toml"
    file.write_text(LOCAL + "base_url = 'http://h/base/'\n")
    provider = load(file, {}).providers["local"]
    assert (provider.path_prefix, provider.base_url) == ("/local", "http://h/base")
