#!/bin/sh
# Prints a folder with the wheels that requirements.lock names: downloaded, and compared with their hashes, once for each lock.
# $PYTHON is for whom they are.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3.11}
tag=$("$PYTHON" -c 'import sys; print("py%d%d" % sys.version_info[:2])')
wheels=.cache/wheels-$tag-$(sha256sum requirements.lock | cut -c1-16)
if [ ! -d "$wheels" ]; then
    mkdir -p .cache
    new=$(mktemp -d "$wheels.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    "$PYTHON" -m pip wheel --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock -w "$new" >&2
    mv -T "$new" "$wheels" 2>/dev/null || [ -d "$wheels" ] # another build was faster
fi
echo "$wheels"
