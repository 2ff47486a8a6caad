"""The demo from its first line to its verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from byline.cli.control import control_database
from byline.cli.demo.audit import Difference, Sums, compare, counted_by_provider, kept_in_ledger
from byline.cli.demo.cast import NADIA, OMAR, Player, hire
from byline.cli.demo.newsroom import FORGED_PROMPT, Newsroom
from byline.cli.demo.page import Page
from byline.cli.output import CommandError
from byline.cli.reading import reading
from byline.testing import SeenRequest, SimulatedProvider
from byline.testing.gateway_process import GatewayFailed, GatewayProcess
from byline.usage.ledger import CoverageQuery, LedgerReader, RequestsQuery, UsageQuery

PROVIDER_KEYS: Final = {"ANTHROPIC_API_KEY": "sk-ant-gateways-own", "OPENAI_API_KEY": "sk-gateways-own"}
"""All that the simulated provider accepts. The gateway's clients never hold them."""
_OVERLOAD: Final = "status=529; retry-after=0.05"
_SETTLED_S: Final = 30.0
"""Rows take two seconds; a loaded machine may take longer, and only a difference waits this long."""
_PAUSE_S: Final = 0.1


def run(directory: Path) -> bool:
    """True if the ledger and the provider agree."""
    page = Page()
    with SimulatedProvider(api_keys=PROVIDER_KEYS.values()) as provider:
        config = _write_config(directory, provider.base_url)
        with control_database(config) as database:
            players = {player.role.username: player for player in hire(database)}
        try:
            with GatewayProcess(config, environ=PROVIDER_KEYS) as gateway:
                page.opening(provider.base_url, gateway.base_url)
                provider.simulate(_OVERLOAD)
                Newsroom(gateway.base_url, players).work()
                with reading(config) as (ledger, _):
                    return _report(page, ledger, provider, players)
        except GatewayFailed as error:
            raise CommandError(str(error)) from error


def _write_config(directory: Path, provider_url: str) -> Path:
    config = directory / "byline.toml"
    config.write_text(f"""\
data_dir = "{directory / "data"}"
gateway.port = 0
console.port = 0

[providers.anthropic]
base_url = "{provider_url}"
api_key_env = "ANTHROPIC_API_KEY"

[providers.openai]
base_url = "{provider_url}"
api_key_env = "OPENAI_API_KEY"
""")
    return config


def _report(
    page: Page, ledger: LedgerReader, provider: SimulatedProvider, players: Mapping[str, Player]
) -> bool:
    since = datetime.now(UTC) - timedelta(hours=1)
    usernames = {player.actor_id: name for name, player in players.items()}
    expected = counted_by_provider(provider.counted(), usernames)
    differences = _settled(ledger, since, expected)
    page.usage("Who used what", ledger.usage(UsageQuery(by=("user", "team"), since=since)))
    page.usage("For which job", ledger.usage(UsageQuery(by=("job",), since=since)))
    page.coverage(ledger.report(CoverageQuery(since=since)).dicts()[0])
    forged = RequestsQuery(since=since, user=OMAR.username, identifier=NADIA.username)
    page.stamped(ledger.requests(forged).dicts()[0], _forged(provider))
    page.verdict(differences, sum(expected.values(), Sums()))
    return not differences


def _settled(ledger: LedgerReader, since: datetime, expected: Mapping[str, Sums]) -> list[Difference]:
    """The differences once the rows are in, or once they should have been."""
    deadline = time.monotonic() + _SETTLED_S
    query = UsageQuery(by=("user",), since=since)
    while differences := compare(expected, kept_in_ledger(ledger.usage(query))):
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE_S)
    return differences


def _forged(provider: SimulatedProvider) -> SeenRequest:
    wanted = FORGED_PROMPT.encode()
    return next(seen for seen in provider.requests if wanted in seen.body)
