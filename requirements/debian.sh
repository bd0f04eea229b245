#!/bin/sh
# Installs the Debian packages that the tests use and that are missing. Starts no service.
set -eu
cd "$(dirname "$0")"
missing=$(xargs -n 1 sh -c 'dpkg-query -W -f "\${Status}" "$0" 2>/dev/null | grep -q "ok installed" || echo "$0"' <debian.txt)
[ -n "$missing" ] || exit 0
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then # no server of Debian's own shall start: tests start theirs
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update >/dev/null
# shellcheck disable=SC2086 # one word per package
apt-get -qy install --no-install-recommends $missing >/dev/null
