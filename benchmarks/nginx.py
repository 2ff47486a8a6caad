"""nginx as a plain forwarding proxy: what the gateway's cost is compared with.

It does none of the gateway's work: no key is checked, no body read, nothing counted or logged.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.native_tools import require
from benchmarks.ports import free_port, wait_until_listening
from benchmarks.processes import children

CONFIG = """
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  # A whole body stays in memory; the default of 16 KB would write the large ones to a file.
  client_body_buffer_size 1m;
  client_max_body_size 64m;
  upstream provider {{
    server 127.0.0.1:{upstream_port};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


def version() -> str:
    output = subprocess.run([require("nginx", "nginx"), "-v"], capture_output=True, text=True, check=True)
    return output.stderr.strip().rpartition("/")[2]


@contextmanager
def nginx(directory: Path, *, upstream_port: int, core: int) -> Generator[tuple[int, int]]:
    """Yields the port and the pid of the one worker."""
    directory.mkdir(parents=True)
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(CONFIG.format(directory=directory, port=port, upstream_port=upstream_port))
    command = ["taskset", "-c", str(core), require("nginx", "nginx"), "-c", str(config), "-p", str(directory)]
    master = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until_listening(port, master)
        yield port, _worker(master.pid)
    finally:
        master.terminate()
        master.wait(timeout=10)


def _worker(master: int) -> int:
    while not (workers := children(master)):
        time.sleep(0.01)
    return workers[0]
