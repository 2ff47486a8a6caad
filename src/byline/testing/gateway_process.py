"""Runs `byline serve` as a process of its own, as an operator would, and takes it down again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

START_S: Final = 20.0
STOP_S: Final = 20.0
_PAUSE_S: Final = 0.02
_ADDRESS: Final = re.compile(rb"serves on (https?://[\w.\[\]:]+:\d+)")


class GatewayFailed(RuntimeError):
    """The gateway did not start or did not stop; the text ends with its last words."""


class GatewayProcess:
    """`with GatewayProcess(config) as gateway:` - serving inside, gone outside.

    The configuration should say `port = 0`; `base_url` is where the gateway then listens. Its output
    goes to `log`, beside the configuration unless said otherwise.
    """

    def __init__(
        self, config: Path, *, environ: Mapping[str, str] | None = None, log: Path | None = None
    ) -> None:
        self.config = config
        self.log = log or config.with_suffix(".log")
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._address = ""

    @property
    def base_url(self) -> str:
        """What `ANTHROPIC_BASE_URL` and the Anthropic SDK take."""
        return self._address

    @property
    def openai_base_url(self) -> str:
        """What `OPENAI_BASE_URL` and the OpenAI SDK take."""
        return f"{self._address}/v1"

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns once the gateway has said where it listens. Raises GatewayFailed."""
        command = [sys.executable, "-m", "byline.cli", "serve", "--config", str(self.config)]
        with self.log.open("wb") as log:
            # A session of its own: a Ctrl-C meant for us must not reach it before we stop it.
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environ,
                start_new_session=True,
            )
        self._address = self._announced()

    def stop(self) -> None:
        """Asks it to finish, then insists. Raises GatewayFailed if it had to insist."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise GatewayFailed(
                f"the gateway did not stop within {STOP_S:.0f} s{self._last_words()}"
            ) from None
        finally:
            process.kill()  # the processes it supervises die with it
            process.wait()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _announced(self) -> str:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while not (found := _ADDRESS.search(self.log.read_bytes())):
            if self._process.poll() is not None:
                raise GatewayFailed(f"the gateway ended with {self._process.returncode}{self._last_words()}")
            if time.monotonic() > deadline:
                raise GatewayFailed(f"the gateway said no address within {START_S:.0f} s{self._last_words()}")
            time.sleep(_PAUSE_S)
        return found[1].decode()

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return "; its last words:\n" + "\n".join(lines) if lines else ""
