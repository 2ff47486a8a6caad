"""Everything doctor looks at, in the order in which a gateway needs it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from byline.cli.doctor import configuration, data, ledger, limits, prices, upstreams
from byline.cli.doctor.finding import Finding


def examine(file: Path | None) -> list[Finding]:
    settings, findings = configuration.read(file, os.environ)
    if settings is None:
        return findings
    findings.append(limits.look(settings))
    findings += data.look(settings, time.time())
    findings += ledger.look(settings)
    findings += prices.look(settings)
    providers, problems = configuration.providers(settings, os.environ)
    return [*findings, *problems, *asyncio.run(upstreams.look(providers))]
