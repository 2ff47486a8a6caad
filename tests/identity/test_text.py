"""Characters that names may have."""

from __future__ import annotations

import pytest

from byline.identity.text import has_control_characters, without_control_characters


@pytest.mark.parametrize(
    "text", ["alice", "zoë", "李雷", "علی‌رضا", "👩‍🚀", "a\u00a0b", "\ue000", "\U00018d09", ""]
)
def test_names_of_every_script_pass_unchanged(text):
    assert not has_control_characters(text)
    assert without_control_characters(text) == text


@pytest.mark.parametrize(
    "character", ["\x00", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\ud800"]
)
def test_controls_line_breaks_and_lone_surrogates_do_not(character):
    assert has_control_characters(f"a{character}b")
    assert without_control_characters(f"a{character}b") == "ab"
