from __future__ import annotations

import copy
import pickle
import sysconfig
from pathlib import Path

import pytest

from byline.telemetry.grammar import reason_unsafe
from byline.telemetry.verified import (
    PiiTagged,
    UnsafeMetadata,
    Verified,
    i_verified_this_is_not_code_or_filepaths,
    i_verified_this_is_pii_tagged,
    not_code_or_path,
)

WANTED = [
    "claude-sonnet-4-6", "gpt-5.1-codex-max", "o3-mini", "us-east-1", "1.2.3", "2.0.0rc1+local.7", "overloaded_error",
    "nightly-eval-1208", "req_011CSHoEeqs5C35K2UUqR7Fy", "0193a1b2-7c3d-7e4f-8a9b-0c1d2e3f4a5b", "ValueError", "GET",
    "cp311", "x86_64", "linux", "ada", "team:core", "anthropic.claude-v2:1",
]  # fmt: skip
UNWANTED = [
    "", " ", "/etc/passwd", "src/byline/wire.py", "wire.py", "notes.TXT", "C:\\Users\\ada", "C:notes.docx", "~/.ssh/id_rsa",
    "..", "./x", "a b", "print('hi')", "x = 1", "def f():", "else:", "return", "two\nlines", "tab\t", "sk-ant-api03-abcdefgh",
    "byl_0123456789abcdef", "ghp_0123456789abcdefghij", "eyJhbGciOiJIUzI1NiJ9", "ada@example.org", "10.1.2.3", "10.1.2.3:8080",
    "491701234567", "x" * 129, "naïve", "a\x00b", "line\u2028", "token\n",
]  # fmt: skip


@pytest.mark.parametrize("text", WANTED)
def test_names_and_ids_that_programs_use_pass(text):
    verified = not_code_or_path(text)
    assert verified == text
    assert type(verified) is Verified


@pytest.mark.parametrize("text", UNWANTED)
def test_code_paths_secrets_addresses_and_sentences_do_not_pass(text):
    with pytest.raises(UnsafeMetadata) as refused:
        not_code_or_path(text)
    assert not text.strip() or text not in str(refused.value)


def test_no_path_of_the_standard_library_passes_and_hardly_any_line_of_its_code():
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(library.glob("*.py"))[:60]
    assert [file for file in files if reason_unsafe(str(file)) is None] == []
    assert [file for file in files if reason_unsafe(file.name) is None] == []
    lines = [
        line.strip()
        for file in files
        for line in file.read_text("utf-8", "replace").splitlines()
        if line.strip()
    ]
    passing = {line for line in lines if reason_unsafe(line) is None}
    assert all(" " not in line and "(" not in line and "=" not in line for line in passing)
    assert sum(line in passing for line in lines) / len(lines) < 0.05


def test_marked_strings_are_only_made_by_name():
    for kind in (Verified, PiiTagged):
        with pytest.raises(TypeError, match=r"i_verified|not_code"):
            kind("text")


def test_a_changed_copied_or_pickled_marked_string_is_a_plain_one():
    model = not_code_or_path("claude-sonnet-4-6")
    changed = [
        model + "",
        f"{model}",
        model.lower(),
        model[:3],
        model.strip(),
        "".join([model]),
        str(model),
        model * 2,
    ]
    changed += [copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))]
    assert {type(text) for text in changed} == {str}
    address = i_verified_this_is_pii_tagged("ada@example.org")
    assert type(pickle.loads(pickle.dumps(address))) is str


def test_personal_strings_do_not_show_in_reprs():
    assert "ada" not in repr({"email": i_verified_this_is_pii_tagged("ada@example.org")})


def test_a_person_may_vouch_for_anything():
    assert i_verified_this_is_not_code_or_filepaths("out of space") == "out of space"
