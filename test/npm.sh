#!/bin/bash
# Installs what the tests take from npm (test/npm/package.json), once for each
# package-lock.json, in a cache outside the checkout, and prints the path of
# its node_modules. The registry is the one that npm itself is set up with.
#
# Of Debian it needs any npm; the tests run on the Node that comes from npm.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

if [ "$(id -u)" = 0 ]; then
    cache=/var/cache/integ-tests # where the server's user can read it
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/integ-tests
fi
key=$(sha256sum "$here/npm/package-lock.json" | cut -c1-16)
target=$cache/npm-$key

if [ ! -d "$target" ]; then
    # A newer Node than Debian's brings its own npm, and conflicts with Debian's.
    command -v npm >/dev/null || "$here/packages.sh" npm >&2
    umask 022
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9 # two checkouts may start at once
    if [ ! -d "$target" ]; then
        rm -rf "$target.part"
        mkdir "$target.part"
        cp "$here/npm/package.json" "$here/npm/package-lock.json" "$target.part"
        # Ends within the time of a test where the registry is not reached.
        (cd "$target.part" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error \
            --fetch-retries=2 --fetch-timeout=60000) >&2
        # GitHub's description in eight further editions: 380 MB.
        find "$target.part/node_modules/@octokit/openapi/generated" -name '*.json' ! -name api.github.com.json -delete
        mv "$target.part" "$target"
    fi
fi
echo "$target/node_modules"
