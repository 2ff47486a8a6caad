"""`byline doctor`: looks at everything a running gateway needs, changes nothing, says what to mend.

`configuration`, `limits`, `data`, `ledger` and `upstreams` look, `examination` calls them; `finding` is what they say.
"""

from __future__ import annotations

import typer

from byline.cli.output import ConfigOption, Format, FormatOption, write


def register(app: typer.Typer) -> None:
    @app.command("doctor")
    def doctor(config: ConfigOption = None, format: FormatOption = Format.table) -> None:  # noqa: A002
        """Check settings, data directory, store and providers; nothing is changed, nothing costs money."""
        from byline.cli.doctor.examination import examine
        from byline.cli.doctor.finding import MESSAGES, table

        findings = examine(config)
        if format is Format.table:
            from byline.cli.report_table import show

            show(table(findings), messages=MESSAGES)
        else:
            write(table(findings), format)
        if any(finding.state == "failed" for finding in findings):
            raise typer.Exit(1)
