"""An error points to the line somebody has to edit."""

from __future__ import annotations

import pytest

from byline.settings.lines import line_of

TEXT = """\
data_dir = "x"  # [gateway]

[gateway]  # the data plane
port = 1
[providers."my-lab"]
credentials.eval.api_key_env = "K"
[providers.openai]
credentials = { eval = { api_key_env = "K" } }
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("data_dir",), 1),
        (("gateway", "port"), 4),
        (("providers", "my-lab", "credentials", "eval", "api_key_env"), 6),
        (("providers", "openai", "credentials", "eval", "api_key_env"), 8),
        (("gateway", "not-there"), 3),
        (("nowhere", "at", "all"), None),
    ],
)
def test_the_line_of_a_key_or_of_the_table_around_it(path, line):
    assert line_of(TEXT, path) == line
