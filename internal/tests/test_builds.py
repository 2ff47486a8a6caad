"""Both packages out of one tree: built, searched byte by byte, installed, and made to behave."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from byline.testing import SimulatedProvider

ROOT = Path(__file__).parents[2]
TEXT = b"ANT_ONLY"
ONLY_DATA = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""From Python 3.11.4 on."""
VALUE = '{"user": "oracle", "job": "1208"}'
CALLS = """
import asyncio, contextlib, anthropic, byline
message = dict(model="claude-sonnet-4-6", max_tokens=9, messages=[{"role": "user", "content": "hi"}])

def call(client):
    client.messages.create(**message)
    list(client.messages.create(**message, stream=True))
    with client.messages.stream(**message) as stream:
        stream.get_final_message()
    client.beta.messages.create(**message)
    with client.beta.messages.stream(**message) as stream:
        stream.get_final_message()
    client.messages.count_tokens(model="claude-sonnet-4-6", messages=message["messages"])
    with contextlib.suppress(anthropic.APIStatusError):
        client.messages.batches.create(requests=[{"custom_id": "1", "params": message}])

async def call_async(client):
    await client.messages.create(**message)
    async with client.messages.stream(**message) as stream:
        await stream.get_final_message()

call(byline.instrument(anthropic.Anthropic(api_key="k", max_retries=0)))
asyncio.run(call_async(byline.instrument(anthropic.AsyncAnthropic(api_key="k", max_retries=0))))
"""


@dataclass(frozen=True)
class Built:
    dist: Path
    python: Path

    def run(self, *arguments: str, **variables: str) -> str:
        environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | variables
        command = [str(self.python), *arguments]
        done = subprocess.run(
            command, env=environ, cwd=self.dist, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def build(directory: Path, name: str, *targets: str) -> Built:
    dist = directory / name
    options = [option for target in targets for option in ("-t", target)]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", *options, "-d", str(dist)],
        cwd=ROOT,
        env={**os.environ, "BYLINE_BUILD": name},
        check=True,
        capture_output=True,
    )
    (wheel,) = dist.glob("*.whl")
    return Built(dist, install(wheel, directory / f"{name}-venv"))


def install(wheel: Path, directory: Path) -> Path:
    """Into an environment of its own, which borrows the dependencies but not this checkout."""
    venv.create(directory)
    python = directory / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    site = python.parents[1] / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("builds"), "public", "sdist", "wheel")


@pytest.fixture(scope="module")
def internal(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("builds"), "internal", "wheel")


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider() as simulated:
        yield simulated


def files(dist: Path) -> Iterator[tuple[str, bytes]]:
    for package in dist.iterdir():
        if package.suffix == ".whl":
            with zipfile.ZipFile(package) as archive:
                yield from ((name, archive.read(name)) for name in archive.namelist())
        else:
            with tarfile.open(package) as archive:
                for member in archive:
                    if (file := archive.extractfile(member)) is not None:
                        yield member.name, file.read()


def disguises(text: bytes) -> list[bytes]:
    """As it is, and encoded; in base64 it looks another way at each of three offsets."""
    encoded = [base64.b64encode(b"\0" * offset + text)[4 * (offset > 0) : -4] for offset in range(3)]
    return [text, text.lower(), text[::-1], text.hex().encode(), text.decode().encode("utf-16-le"), *encoded]


def test_the_public_packages_hold_neither_the_module_nor_the_text(public):
    found = dict(files(public.dist))
    assert len(found) > 300
    assert [name for name in found if "_internal" in name or "/internal/" in name] == []
    disguised = disguises(TEXT)
    assert [name for name, content in found.items() if any(text in content for text in disguised)] == []


def test_nothing_in_the_public_packages_puts_the_text_together(public):
    """Neighbouring string literals, however they are joined."""
    for name, content in files(public.dist):
        letters = bytes(byte for byte in content if byte not in b" \t\r\n'\"+,()\\")
        assert TEXT not in letters, name


def test_the_search_would_find_it(internal):
    assert any(TEXT in content for _, content in files(internal.dist))
    for before in (b"", b"x", b"xy"):
        hidden = base64.b64encode(before + TEXT + b"_METADATA_USER_ID")
        assert any(text in hidden for text in disguises(TEXT))


def test_each_says_which_it_is(public, internal):
    assert public.run("-m", "byline.cli", "--version").strip().endswith("(public)")
    assert internal.run("-m", "byline.cli", "--version").strip().endswith("+internal (internal)")
    assert next(internal.dist.glob("*.whl")).name.endswith("+internal-py3-none-any.whl")
    assert public.run("-c", "import byline; print(byline.__file__)").startswith(str(public.python.parents[1]))


def test_the_internal_one_names_itself_on_every_call(internal, provider):
    internal.run("-c", CALLS, ANTHROPIC_BASE_URL=provider.base_url, ANT_ONLY_METADATA_USER_ID=VALUE)
    sent = [identity(seen) for seen in provider.requests]
    assert sent == [VALUE] * 5 + [None] + [VALUE] * 3


@pytest.mark.parametrize("more", [{}, {"BYLINE_BUILD": "internal"}])
def test_the_public_one_sends_nothing(public, provider, more):
    public.run("-c", CALLS, ANTHROPIC_BASE_URL=provider.base_url, ANT_ONLY_METADATA_USER_ID=VALUE, **more)
    assert len(provider.requests) == 9
    assert [identity(seen) for seen in provider.requests] == [None] * 9
    assert all(b"oracle" not in seen.body for seen in provider.requests)


def test_both_know_the_public_variable(public, internal, provider):
    for built in (public, internal):
        built.run("-c", CALLS, ANTHROPIC_BASE_URL=provider.base_url, BYLINE_IDENTITY=VALUE)
    assert sum(identity(seen) == VALUE for seen in provider.requests) == 16


def test_the_launcher_of_the_public_one_does_not_know_the_variable(public, tmp_path):
    run = ("-m", "byline.cli", "run", "--user", "u", "--job", "j", "--print-env")
    assert TEXT.decode() not in public.run(*run, BYLINE_DATA_DIR=str(tmp_path))


def test_a_wheel_can_be_built_from_the_sdist(public, tmp_path):
    (sdist,) = public.dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, **ONLY_DATA)
    (tree,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(command, cwd=tree, check=True, capture_output=True, env={**os.environ, "BYLINE_BUILD": ""})
    (wheel,) = public.dist.glob("*.whl")
    (rebuilt,) = tree.glob("dist/*.whl")
    assert rebuilt.read_bytes() == wheel.read_bytes()
    refused = subprocess.run(
        command, cwd=tree, capture_output=True, text=True, env={**os.environ, "BYLINE_BUILD": "internal"}
    )
    assert "this tree was published" in refused.stderr


def identity(seen) -> str | None:
    body = seen.json()
    params = body["requests"][0]["params"] if "requests" in body else body
    return params.get("metadata", {}).get("user_id")
