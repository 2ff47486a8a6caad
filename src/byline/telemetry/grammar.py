"""What may pass as a telemetry string without a person having looked: an allow-list grammar.

Denies by default. It recognises identifier-like tokens; it does not try to detect code. What it can't
know: a person's name or a password of plain letters is a token too. So it is for ids and names that a
program holds in variables, not for anything people typed.
"""

from __future__ import annotations

import re
from typing import Final

MAX_CHARS: Final = 128
_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+@-]*\Z")
_FILE_SUFFIXES: Final = (
    "py[ciwx]? ipynb [jt]sx? [cm][jt]s go rs java kts? scala swift c cc cpp cxx h hh hpp cs rb php pl lua r jl sh bash "
    "zsh ps1 bat sql html? css scss vue json[cl]? ya?ml toml ini cfg conf env lock xml md rst txt log csv tsv parquet "
    "db sqlite3? key pem crt p12 zip gz tar tgz whl so dll exe dylib o a pdf docx? xlsx? png jpe?g svg ndjson"
)
_FILE_NAME: Final = re.compile(rf"\.(?:{'|'.join(_FILE_SUFFIXES.split())})\Z", re.IGNORECASE)
_SECRET: Final = re.compile(
    r"(?:sk-|pk_|rk_|byl_|byline_|ghp_|gho_|ghs_|github_pat_|xox[abprs]-|AKIA|ASIA|eyJ|glpat-|hf_|AIza|npm_)[-_A-Za-z0-9]{8,}"
)
_ADDRESS: Final = re.compile(
    r"[^@]*@[A-Za-z0-9-]+\.[A-Za-z]|\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\Z|\+?\d{9,15}\Z"
)
_DRIVE: Final = re.compile(r"[A-Za-z]:.*[.\\]")
_KEYWORD: Final = re.compile(
    r"(?:else|try|finally|pass|break|continue|return|raise|yield|await|lambda)[:]?\Z"
)

IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}\Z")
"""Names of events and of metadata keys."""


def reason_unsafe(value: str) -> str | None:
    """Why `value` may not pass on its own, as the end of a sentence; None if it may."""
    if len(value) > MAX_CHARS:
        return f"is longer than {MAX_CHARS} characters"
    if not _TOKEN.match(value):
        return "is not identifier-like"
    if _FILE_NAME.search(value) or _DRIVE.match(value):
        return "looks like a file name"
    if _SECRET.match(value):
        return "looks like a secret"
    if _ADDRESS.match(value):
        return "looks like an address or phone number"
    if _KEYWORD.match(value):
        return "looks like code"
    return None
