#!/usr/bin/env bash
# Writes the locks anew: hashes, no addresses. Needs uv (`pip install uv`).
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  uv pip compile --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
    --python-version 3.11 --quiet --upgrade pyproject.toml "$@"
}
compile --extra gateway --group dev --group real-clients -o requirements/all.txt
compile --extra gateway --group demo -c requirements/all.txt -o requirements/demo.txt
compile --extra gateway --group dev -c requirements/all.txt -o requirements/dev.txt
compile --group real-clients -c requirements/all.txt -o requirements/real-clients.txt
rm requirements/all.txt
