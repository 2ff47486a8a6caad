"""Budgets as they are written in the configuration."""

from __future__ import annotations

from pathlib import Path

from byline.assembly.budget_rules import written_budgets
from byline.settings import load


def test_a_whole_key_in_the_configuration_counts_as_its_id(tmp_path: Path) -> None:
    config = tmp_path / "byline.toml"
    config.write_text(
        '[budgets.batch]\nkey = "byl_ab12_secret"\nusd_per_day = 5\n[budgets.rest]\nkey = "ab*"\nusd_per_day = 1\n'
    )
    assert [budget.name for budget in written_budgets(load(config, {}))] == ["ab12", "ab*"]
