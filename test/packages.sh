#!/bin/bash
# Installs the Debian packages of the named groups (test/packages.txt) that
# are missing: packages.sh GROUP…  Says which, never asks, and does nothing
# when none is missing. Works as root and as a user with sudo.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

# The server's version: of the pg_config that is in use, else of the release.
server_version() {
    local config version
    config=$(command -v "${PG_CONFIG:-pg_config}" || true)
    if [ -n "$config" ] && version=$("$config" --version 2>/dev/null); then
        echo "$version" | sed -E 's/^PostgreSQL ([0-9]+).*/\1/'
    else
        apt-cache depends postgresql 2>/dev/null | sed -nE 's/.*Depends: postgresql-([0-9]+)$/\1/p' | head -1
    fi
}

# Prints the packages of the groups $@ that are not installed.
missing() {
    local group package rest version
    version=$(server_version)
    while read -r group package rest; do
        case " $* " in *" $group "*) ;; *) continue ;; esac
        package=${package//@PG@/$version}
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || echo "$package"
    done < <(grep -v '^#' "$here/packages.txt")
}

# apt-get, waiting for another one that runs: two checkouts may start at once.
apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold \
        -o APT::Install-Recommends=false "$@" </dev/null
}

update() {
    local try
    for try in 1 2 3 4 5; do
        apt update && return
        sleep $((try * 2))
    done
    return 1
}

# A package that is installed here must not start a service on this machine:
# the tests start what they need themselves.
policy=/usr/sbin/policy-rc.d
forbid_services() {
    if (set -C; printf '#!/bin/sh\nexit 101\n' >$policy) 2>/dev/null; then
        chmod +x $policy
        trap 'rm -f $policy' EXIT
    fi
}

install() {
    local log packages
    # Two checkouts may start at once: the second then finds nothing missing.
    mkdir -p /run/lock
    exec 9>/run/lock/integ-packages.lock
    flock 9
    log=$(mktemp)
    # Package lists may be absent (a container) or old (a machine left alone).
    { [ -n "$(server_version)" ] && apt-cache show libcmocka-dev; } >/dev/null 2>&1 || update >"$log" 2>&1 || { cat "$log"; exit 1; }
    packages=$(missing "$@")
    [ -n "$packages" ] || return 0
    echo "installing Debian packages:" $packages
    forbid_services
    # Word splitting is wanted: one argument a package.
    # shellcheck disable=SC2086
    apt install $packages >"$log" 2>&1 ||
        { update && apt install $packages; } >>"$log" 2>&1 ||
        { cat "$log"; echo "packages.sh: apt-get could not install:" $packages >&2; exit 1; }
    rm -f "$log"
}

[ $# -gt 0 ] || { echo "usage: packages.sh GROUP…" >&2; exit 2; }
command -v dpkg-query >/dev/null || { echo "packages.sh: no Debian system; install by hand what test/packages.txt lists" >&2; exit 0; }
packages=$(missing "$@")
[ -n "$packages" ] || exit 0
if [ "$(id -u)" = 0 ]; then
    install "$@"
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    sudo PG_CONFIG="${PG_CONFIG:-}" "$here/packages.sh" "$@"
else
    {
        echo "packages.sh: these Debian packages are missing, and there is no sudo to install them with:" $packages
        echo "Run as root: apt-get install" $packages
    } >&2
    exit 1
fi
