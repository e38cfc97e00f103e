#!/bin/bash
# Shows an integration running inside PostgreSQL: demo.sh [--stop].
#
# Builds, starts a cluster of its own and the local service (test/provider),
# runs test/demo/demo.sql and leaves both running to be looked at. A second
# demo of this checkout replaces the first.
set -eu
# shellcheck source=test/lib.sh
. "$(dirname "$0")/lib.sh"
state=build/demo # what runs: lines of shell, for the next call

stop() {
    [ -f "$state" ] || return 0
    # shellcheck source=/dev/null
    . "./$state"
    if [ -d "$scratch" ]; then
        cluster_stop "$scratch/cluster" >/dev/null 2>&1 || true
        scratch_remove
        say "The demo in $scratch is stopped and removed."
    fi
    rm -f "$state"
    scratch=
}

if [ "${1:-}" = --stop ]; then
    [ -f "$state" ] || say "No demo of this checkout is running."
    stop
    exit
fi

test/packages.sh build run
stop
scratch_make demo
mkdir -p build
started= # until then, whatever was begun is removed again
trap '[ -n "$started" ] || scratch_remove' EXIT
trap 'exit 130' INT TERM

say "Building integ for $("${PG_CONFIG:-pg_config}" --version)."
source_copy
build_install
token=demo-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
provider_start "$scratch/provider" --token "$token"
cluster_start "$scratch/cluster"
say "A cluster in $scratch/cluster, a service on http://127.0.0.1:$provider_port: both made for this demo."

psql=("$bindir/psql" -X -q -h "$scratch/cluster" -p 5432 -U postgres)
"${psql[@]}" -d postgres -c 'CREATE DATABASE demo'

mkdir "$scratch/demo"
DEMO_TOKEN=$token DEMO_HOME=$scratch/demo \
    "${psql[@]}" -d demo -v url="http://127.0.0.1:$provider_port" 2>&1 <test/demo/demo.sql

started=yes
cat >"$state" <<STATE
scratch=$scratch
bindir=$bindir
server_user=$server_user
STATE
command=$(printf '%s ' "$bindir/psql" -h "$scratch/cluster" -p 5432 -U postgres demo)
as_root=
[ "$(id -un)" = "$server_user" ] || as_root=" (as root)"
cat <<END

The cluster and the service are still running. Look at them$as_root:
    $command
    curl -s http://127.0.0.1:$provider_port/log
Stop and remove them:
    make demo-stop
END
