#!/bin/sh
# Pins every dependency with hashes into requirements/*.txt, for Python 3.11 and newer; names no index.
set -eu
cd "$(dirname "$0")/.."
for extra in edge fleet lab dev; do
    "${VENV:-.venv}/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
        --extra "$extra" pyproject.toml requirements/build.in --output-file "requirements/$extra.txt" "$@"
done
