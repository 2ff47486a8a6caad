"""File and environment become Settings; what doesn't fit is named, with the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from byline.settings import Settings, SettingsError, load, lookalikes

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str) -> Path:
        file = tmp_path / "byline.toml"
        file.write_text(text)
        return file

    return _write


def problems(file: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(file, environ or {})
    return list(caught.value.problems)


def test_without_file_and_environment_everything_has_its_default(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load(None, {}) == Settings()


def test_the_default_file_is_read_when_it_is_there(monkeypatch, write, tmp_path):
    write("[gateway]\nport = 9000\n")
    monkeypatch.chdir(tmp_path)
    assert load(None, {}).gateway.port == 9000


def test_every_key_of_the_documented_example_is_known(write):
    settings = load(
        write(
            """
            data_dir = "byline-data"
            [gateway]
            host = "127.0.0.1"
            port = 8787
            workers = 1
            [console]
            port = 8788
            [providers.anthropic]
            base_url = "https://api.anthropic.com"
            api_key_env = "ANTHROPIC_API_KEY"
            [providers.openai]
            base_url = "https://api.openai.com"
            api_key_env = "OPENAI_API_KEY"
            [identity]
            identifier = "id"
            policy = "overwrite"
            hash_key_env = "BYLINE_HASH_KEY"
            [identity.anthropic]
            identifier = "hash"
            [journal]
            on_failure = "fail_open"
            sync_interval = "20ms"
            [ledger]
            engine = "duckdb"
            """
        ),
        {},
    )
    assert settings.identity.for_provider("anthropic").identifier == "hash"
    assert settings.identity.for_provider("openai").identifier == "id"
    assert settings.journal.sync_interval == 0.02


def test_a_missing_file_that_was_asked_for_is_an_error(tmp_path):
    (problem,) = problems(tmp_path / "absent.toml")
    assert "absent.toml: no such file" in problem


def test_a_file_that_is_not_toml_is_named_with_the_line(write):
    (problem,) = problems(write("[gateway\n"))
    assert "byline.toml: not valid TOML" in problem
    assert "line 1" in problem


def test_an_unknown_key_is_named_with_file_line_and_nearest_key(write):
    file = write("data_dir = 'x'\n[gateway]\nprot = 1\n")
    assert problems(file) == [f"{file}:3: gateway.prot is not a setting; did you mean gateway.port?"]


def test_a_key_in_the_wrong_section_is_pointed_to_the_right_one(write):
    (problem,) = problems(write("sync_interval = '20ms'\n"))
    assert problem.endswith("did you mean journal.sync_interval?")


def test_an_unknown_variable_is_named_with_the_nearest_variable():
    assert problems(None, {"BYLINE_GATEWAY__PROT": "1"}) == [
        "BYLINE_GATEWAY__PROT: gateway.prot is not a setting; did you mean BYLINE_GATEWAY__PORT?"
    ]


def test_all_problems_are_told_at_once(write):
    text = "[gateway]\nport = 'x'\nworkers = 0\n[ledger]\nengine = 'duckdbb'\n"
    assert len(problems(write(text), {"BYLINE_LOG__LEVEL": "loud"})) == 4


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gateway.port = 'x'", "gateway.port must be a whole number from 0 to 65535"),
        ("gateway.port = 70000", "gateway.port must be a whole number from 0 to 65535, not 70000"),
        ("gateway.port = true", "gateway.port must be a whole number from 0 to 65535, not true or false"),
        ("gateway.host = 1", 'gateway.host must be text in quotes, such as "name", not 1'),
        ("gateway = 1", "gateway is a table; write [gateway] and its keys below"),
        ("providers.anthropic = 'x'", "providers.anthropic is a table; write [providers.anthropic]"),
        ("gateway.host.x = 1", "gateway.host must be text in quotes"),
        ("identity.policy = 'overwite'", '"merge"; did you mean "overwrite"?'),
        ("identity.anthropic.policy = 'overwite'", '"merge"; did you mean "overwrite"?'),
        ("identity.forbid_personal = 1", "must be true or false, not 1"),
        ("journal.sync_interval = '20 parsecs'", 'must be a duration, such as "20ms"'),
        ("journal.sync_interval = 0", "must be a duration"),
        ("journal.max_bytes = '4 apples'", 'must be a size, such as "16KiB"'),
        ("auth.jwt.may_claim = ['team']", 'must be a list, such as ["job", "user"], not a list'),
        ("auth.jwt.algorithms = 'RS256'", "must be a list"),
        ("data_dir = ''", "data_dir must be the path of a file or directory"),
        ("providers.openai.credentials.eval.teams = ['a']", "credentials.eval.api_key_env is missing"),
    ],
)
def test_an_ill_typed_value_is_told_what_was_expected(write, line, expected):
    (problem,) = problems(write(line))
    assert expected in problem
    assert "byline.toml:1: " in problem


def test_values_are_never_quoted(write):
    secret = "sk-ant-secret"
    text = f"[gateway]\nport = '{secret}'\nhost = ['{secret}']\n[providers.anthropic]\napi_key = '{secret}'\n"
    assert secret not in "\n".join(problems(write(text)))


@pytest.mark.parametrize(
    ("written", "seconds"), [("20ms", 0.02), ("1.5s", 1.5), ("5m", 300), ("24h", 86_400), ("7d", 604_800)]
)
def test_durations_have_units(written, seconds):
    assert load(None, {"BYLINE_JOURNAL__SEGMENT_AGE": written}).journal.segment_age == seconds


@pytest.mark.parametrize(("written", "seconds"), [("forever", 0), ("0", 0), ("400d", 34_560_000)])
def test_retention_says_forever_for_zero(write, written, seconds):
    assert load(None, {"BYLINE_LEDGER__RETENTION": written}).ledger.retention == seconds
    assert load(write(f"ledger.retention = '{written}'"), {}).ledger.retention == seconds


def test_forever_is_a_word_of_retention_alone():
    (said,) = problems(None, {"BYLINE_LEDGER__SQL_TIMEOUT": "forever"})
    assert "forever" not in said
    (said,) = problems(None, {"BYLINE_LEDGER__RETENTION": "always"})
    assert said.endswith('"24h" or "7d", or "forever"')


@pytest.mark.parametrize(
    ("written", "size"), [("64MB", 64_000_000), ("16KiB", 16_384), ("65536", 65_536), ("1GiB", 1_073_741_824)]
)
def test_sizes_are_decimal_or_binary_as_written(written, size):
    assert load(None, {"BYLINE_JOURNAL__MAX_BYTES": written}).journal.max_bytes == size


def test_durations_and_sizes_are_plain_numbers():
    settings = load(None, {"BYLINE_LEDGER__SQL_TIMEOUT": "5s", "BYLINE_LEDGER__MEMORY_LIMIT": "1GiB"})
    assert type(settings.ledger.sql_timeout) is float
    assert type(settings.ledger.memory_limit) is int
    assert msgspec.json.encode(settings.ledger.sql_timeout) == b"5.0"


def test_the_environment_wins_over_the_file(write):
    file = write("[gateway]\nport = 9000\nhost = '0.0.0.0'\n")
    gateway = load(file, {"BYLINE_GATEWAY__PORT": "9001"}).gateway
    assert (gateway.port, gateway.host) == (9001, "0.0.0.0")


def test_the_environment_reaches_sections_of_ones_own_names():
    settings = load(
        None,
        {
            "BYLINE_DATA_DIR": "/var/lib/byline",
            "BYLINE_PROVIDERS__MY_PROXY__BASE_URL": "http://127.0.0.1:1",
            "BYLINE_PROVIDERS__MY_PROXY__KIND": "openai",
            "BYLINE_PROVIDERS__ANTHROPIC__CREDENTIALS__EVAL_TEAM__API_KEY_ENV": "EVAL_KEY",
            "BYLINE_PROVIDERS__ANTHROPIC__CREDENTIALS__EVAL_TEAM__TEAMS": "eval, research",
            "BYLINE_PROVIDERS__ANTHROPIC__ALLOW_PATHS": '["/v1/files", "/v1/files/*"]',
            "BYLINE_IDENTITY__MY_PROXY__POLICY": "keep",
            "BYLINE_PROVIDERS__OPENAI__FORWARD_TRACEPARENT": "true",
        },
    )
    assert settings.data_dir == Path("/var/lib/byline")
    assert settings.providers["my-proxy"].path_prefix == "/my-proxy"
    assert settings.identity.for_provider("my-proxy").policy == "keep"
    assert settings.providers["anthropic"].credentials["eval-team"].teams == ("eval", "research")
    assert settings.providers["anthropic"].allow_paths == ("/v1/files", "/v1/files/*")
    assert settings.providers["openai"].forward_traceparent


def test_other_byline_variables_are_not_settings():
    others = (
        "BYLINE_IDENTITY",
        "BYLINE_FEATURES",
        "BYLINE_DEBUG",
        "BYLINE_BUILD",
        "BYLINE_HASH_KEY",
        "BYLINE_KEY",
    )
    assert load(None, dict.fromkeys(others, "1")) == Settings()
    assert lookalikes(dict.fromkeys(others, "1")) == []


def test_a_variable_with_one_underscore_too_few_is_pointed_out():
    assert lookalikes({"BYLINE_GATEWAY_PORT": "1"}) == [("BYLINE_GATEWAY_PORT", "BYLINE_GATEWAY__PORT")]


def test_paths_in_the_file_are_relative_to_it(write, tmp_path):
    text = "data_dir = 'state'\n[gateway]\ntls_cert = 'cert.pem'\ntls_key = '/etc/key.pem'\n"
    settings = load(write(text), {})
    assert settings.data_dir == tmp_path / "state"
    assert settings.gateway.tls_cert == tmp_path / "cert.pem"
    assert settings.gateway.tls_key == Path("/etc/key.pem")
    assert load(write(""), {}).data_dir == tmp_path / "byline-data"


def test_known_providers_stay_beside_further_ones(write):
    settings = load(write("[providers.local]\nbase_url = 'http://127.0.0.1:1'\nkind = 'openai'\n"), {})
    assert list(settings.providers) == ["anthropic", "openai", "local"]


def test_overriding_one_key_of_a_known_provider_keeps_the_others(write):
    provider = load(write("[providers.anthropic]\napi_key_env = 'TEAM_KEY'\n"), {}).providers["anthropic"]
    assert (provider.base_url, provider.api_key_env) == ("https://api.anthropic.com", "TEAM_KEY")
