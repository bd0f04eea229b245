#!/bin/sh
# Build the bundle and the package for arm64 on a machine of another kind, in an arm64 Debian 12 under qemu-user.
#
#   images/bundle/arm64.sh          as root, after `make setup`; VERSION=1.2.3 for another version than the project's
#
# Needs: apt-get install mmdebstrap arch-test qemu-user-static binfmt-support
# The chroot stands in build/arm64 and is used again; wheels come by pip on this machine, hashes checked.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$root/build/arm64
chroot=$work/chroot
cd "$root"
mkdir -p "$work"

if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
    update-binfmts --enable qemu-aarch64
fi

if [ ! -e "$work/made" ]; then
    rm -rf "$chroot"
    mmdebstrap --mode=root --arch=arm64 --variant=minbase \
        --include=binutils,dpkg,libpython3.11,python3,python3-pip bookworm "$chroot"
    touch "$work/made"
fi

# What the agent runs on, and PyInstaller with what it needs, as requirements/ pins them.
awk '/^[a-z]/ { wanted = /^(altgraph|packaging|pyinstaller|pyinstaller-hooks-contrib)==/ } wanted' \
    requirements/dev.txt > "$work/tools.txt"
platforms=
for glibc in 36 35 34 31 28 27 24 17; do platforms="$platforms --platform manylinux_2_${glibc}_aarch64"; done
# shellcheck disable=SC2086
.venv/bin/pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
    $platforms --platform manylinux2014_aarch64 \
    -r requirements/edge.txt -r "$work/tools.txt" -d "$work/wheels"

rm -rf "$chroot/src" "$chroot/wheels"
mkdir "$chroot/src"
git ls-files -z | xargs -0 tar -cf - | tar -xf - -C "$chroot/src"
cp -r "$work/wheels" "$chroot/wheels"

commit=$(git log -1 --format=%H)
git diff --quiet HEAD || commit=$commit-changed
when=$(git log -1 --format=%ct)
# shellcheck disable=SC2016
unshare --mount sh -ec '
    mount -t proc proc "$1/proc"
    exec chroot "$1" env -i PATH=/usr/bin:/bin VERSION="$2" PYTHONPATH=/src sh -ec "
        cd /src
        python3 -m pip install --quiet --root-user-action ignore --break-system-packages \\
            --no-index --no-deps /wheels/*.whl
        python3 -m images.bundle.deb --commit $3 $4"
' sh "$chroot" "${VERSION:-}" "$commit" "$when"

mkdir -p dist
cp "$chroot"/src/dist/* dist/
