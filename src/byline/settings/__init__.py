"""Settings: one declared table of options, read from a TOML file and the environment.

`table` declares, `schema` reads the declaration, `values` parses single values, `reader` a whole tree,
`load` puts file and environment together, `check` holds options against each other. Nothing here opens a
socket or a store. Only `assembly` and `cli` import this; everything else takes plain values.
"""

from __future__ import annotations

from byline.settings.environment import lookalikes
from byline.settings.errors import SettingsError
from byline.settings.load import DEFAULT_FILE, load
from byline.settings.table import (
    AuthSettings,
    BudgetSettings,
    BudgetsOptions,
    ConsoleSettings,
    CountersSettings,
    CredentialSettings,
    FlagsSettings,
    GatewaySettings,
    IdentityOptions,
    IdentitySettings,
    JournalSettings,
    JwtSettings,
    KeysSettings,
    LedgerSettings,
    LogSettings,
    PricesSettings,
    ProviderSettings,
    ProxySettings,
    Settings,
    UpstreamSettings,
)
from byline.settings.values import Duration, Size

__all__ = [
    "DEFAULT_FILE",
    "AuthSettings",
    "BudgetSettings",
    "BudgetsOptions",
    "ConsoleSettings",
    "CountersSettings",
    "CredentialSettings",
    "Duration",
    "FlagsSettings",
    "GatewaySettings",
    "IdentityOptions",
    "IdentitySettings",
    "JournalSettings",
    "JwtSettings",
    "KeysSettings",
    "LedgerSettings",
    "LogSettings",
    "PricesSettings",
    "ProviderSettings",
    "ProxySettings",
    "Settings",
    "SettingsError",
    "Size",
    "UpstreamSettings",
    "load",
    "lookalikes",
]
