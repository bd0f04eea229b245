#!/bin/sh
# Pins every dependency with hashes into requirements/*.txt, for Python 3.11 and newer; names no index.
# With --check nothing is written: fails if a declared dependency is not pinned within its bounds.
set -eu
cd "$(dirname "$0")/.."
bin=${VENV:-.venv}/bin
if [ "${1:-}" = --check ]; then
    exec "$bin/python" requirements/check.py
fi
for extra in edge fleet provision lab dev; do
    UV_NO_CONFIG=1 "$bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-strip-extras --no-emit-find-links --no-header --no-annotate \
        --extra "$extra" pyproject.toml requirements/build.in --output-file "requirements/$extra.txt" "$@"
done
