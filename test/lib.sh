# Shared by the scripts in test/: where things go, who runs the server, how a
# throwaway cluster starts. Source it from bash; it changes to the checkout.
#
# PostgreSQL refuses to run as root. As root, everything that is or talks to
# a server runs as another user, which may not enter the checkout: so clusters,
# results and a copy of the tests live in a scratch directory of that user.
# Two runs share nothing: no port, no path, no cluster.
# shellcheck shell=bash

umask 022
unset TMPDIR MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
# Nothing here may reach a cluster that is already there.
for name in ${!PG*}; do
    [ "$name" = PG_CONFIG ] || unset "$name"
done
export LC_ALL=C.UTF-8

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$checkout" || exit 1
jobs=$(nproc)
variant=${variant:-plain} # plain, asan or coverage
scratch=
server_user=$(id -un)

say() { printf '%s\n' "$*"; }
fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Makes $scratch and decides on $server_user.
scratch_make() {
    if [ "$(id -u)" = 0 ]; then
        server_user=postgres
        if ! id "$server_user" >/dev/null 2>&1; then
            server_user=integ-test
            id "$server_user" >/dev/null 2>&1 || useradd --system --shell /bin/sh "$server_user"
        fi
    fi
    scratch=$(mktemp -d "/tmp/integ-${1:-check}.XXXXXX")
    mkdir "$scratch/home"
    chown -R "$server_user" "$scratch"
}

# Runs a command as the server's user, in $scratch: the current folder may be closed to it.
as_server() {
    local clean=(env -C "$scratch" HOME="$scratch/home" USER="$server_user" LOGNAME="$server_user")
    if [ "$(id -un)" = "$server_user" ]; then
        "${clean[@]}" "$@"
    else
        runuser -u "$server_user" -- "${clean[@]}" "$@"
    fi
}

# A copy of the checkout at $source, readable by the server's user.
source_copy() {
    source=$scratch/source
    mkdir "$source"
    tar -C "$checkout" --exclude=./build --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude=./results \
        -cf - . | tar -C "$source" -xf -
    # Modes come from the caller's umask; the server's user writes object counts and results here.
    chmod -R u+rwX,go+rX "$source"
    chown -R "$server_user" "$source"
    # Test data beside the checkout; tests that want it skip where it is not there.
    unset INTEG_SHARED
    if [ -d "$checkout/../shared" ]; then
        # Its content, so that a link to it becomes a copy, too.
        mkdir "$scratch/shared"
        cp -r --no-preserve=ownership,mode "$checkout/../shared/." "$scratch/shared"
        chmod -R a+rX "$scratch/shared"
        export INTEG_SHARED=$scratch/shared
    fi
}

# Builds integ and installs it into a private copy of the server's trees:
# sets $pg_config, $bindir and $pgxs.
build_install() {
    local log=$scratch/build.log from=$checkout flags="" module
    case $variant in
        asan) flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g" ;;
        coverage) flags="--coverage -O0 -g -U_FORTIFY_SOURCE -fprofile-update=atomic" ;;
    esac
    # Instrumented objects must not mix with those of the checkout.
    [ "$variant" = plain ] || from=$source
    pg_config=$(test/tree.sh "$scratch/pg" "${PG_CONFIG:-pg_config}")
    make -s -C "$from" --no-print-directory -j"$jobs" install PG_CONFIG="$pg_config" COPT="$flags" >"$log" 2>&1 || {
        cat "$log"
        say "The build failed."
        return 1
    }
    # Modules that only tests need.
    for module in "$from"/test/modules/*/; do
        make -C "$module" --no-print-directory install PG_CONFIG="$pg_config" COPT="$flags" >"$log" 2>&1 || {
            cat "$log"
            say "The build of $module failed."
            return 1
        }
    done
    [ "$variant" = plain ] || chown -R "$server_user" "$source"
    bindir=$("$pg_config" --bindir)
    pgxs=$(dirname "$("$pg_config" --pgxs)")/../..
    pgxs=$(cd "$pgxs" && pwd)
    [ "$variant" != asan ] || sanitize_server
}

# Debian's server hangs when the sanitizer's runtime is just preloaded, since
# a library's constructor allocates before the runtime is up: a tiny library
# whose constructor is first mends that.
sanitize_server() {
    gcc -shared -fPIC -Wl,-z,initfirst -o "$scratch/early.so" test/asan/early.c
    mkdir -p "$scratch/sanitizer"
    chown "$server_user" "$scratch/sanitizer"
    mv "$bindir/postgres" "$bindir/postgres.bare"
    cat >"$bindir/postgres" <<WRAPPER
#!/bin/bash
# The runtime must come first; a test's own library follows. Each memmem would be checked to the end of its text,
# which makes the search for all that is found in a long text quadratic.
export LD_PRELOAD="$(gcc -print-file-name=libasan.so):$scratch/early.so\${LD_PRELOAD:+:\$LD_PRELOAD}"
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:intercept_memmem=0:log_path=$scratch/sanitizer/report
export UBSAN_OPTIONS=print_stacktrace=1:log_path=$scratch/sanitizer/report
# Under its own name, which pg_ctl restart runs again.
exec -a "$bindir/postgres" "$bindir/postgres.bare" "\$@"
WRAPPER
    chmod 755 "$bindir/postgres"
}

# A master key for the vault at $1: 64 hex digits that only the server's user can read.
master_key_make() {
    as_server sh -c 'umask 077; od -An -N32 -tx1 /dev/urandom | tr -d " \n" >"$1"' sh "$1"
}

# cluster_start DIR [line of postgresql.conf]…: a cluster in DIR, reachable by
# a socket in DIR only, with integ preloaded and a master key.
cluster_start() {
    local dir=$1
    shift
    as_server mkdir -p "$dir"
    as_server chmod 700 "$dir"
    as_server "$bindir/initdb" -D "$dir/data" -U postgres -A trust -N --no-locale -E UTF8 \
        >"$scratch/initdb.log" 2>&1 || {
        cat "$scratch/initdb.log"
        say "initdb failed."
        return 1
    }
    master_key_make "$dir/master.key"
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$dir'"
        echo "port = 5432"
        echo "shared_preload_libraries = 'integ'"
        echo "max_worker_processes = 32"
        echo "max_prepared_transactions = 10"
        echo "fsync = off"
        echo "log_line_prefix = '%m [%p] %q%d '"
        echo "integ.master_key_file = '$dir/master.key'"
        echo "integ.allowed_addresses = '127.0.0.0/8, ::1/128'"
        # The sanitizer's frames are larger.
        [ "$variant" != asan ] || echo "max_stack_depth = '7MB'"
        printf '%s\n' "$@"
    } | as_server tee -a "$dir/data/postgresql.conf" >/dev/null
    as_server "$bindir/pg_ctl" -D "$dir/data" -l "$dir/log" -w -s -t 120 start || {
        tail -n 40 "$dir/log"
        say "The server did not start."
        return 1
    }
}

# cluster_stop DIR: orderly, so that every process writes its counts. Fails where that takes force.
cluster_stop() {
    [ -f "$1/data/postmaster.pid" ] || return 0
    as_server "$bindir/pg_ctl" -D "$1/data" -m fast -w -s stop && return 0
    as_server "$bindir/pg_ctl" -D "$1/data" -m immediate -w -s stop
    return 1
}

# provider_start DIR [option]…: the local service; sets $provider_port.
provider_start() {
    local dir=$1
    shift
    as_server mkdir -p "$dir"
    as_server python3 "$source/test/provider" --port-file "$dir/provider.port" --pid-file "$dir/provider.pid" "$@" \
        </dev/null >"$dir/provider.log" 2>&1 &
    disown
    for _ in $(seq 200); do
        [ ! -s "$dir/provider.port" ] || break
        sleep 0.05
    done
    [ -s "$dir/provider.port" ] || {
        cat "$dir/provider.log"
        say "test/provider did not start."
        return 1
    }
    # Read by the scripts that source this file.
    # shellcheck disable=SC2034
    provider_port=$(cat "$dir/provider.port")
}

# Ends what runs in a directory: each process wrote its number to a *.pid file there.
sweep() {
    local file
    # As the server's user, so that a number that is in use again hits nobody
    # else; by the shell, since a small machine has no other kill.
    find "$1" -name '*.pid' -type f 2>/dev/null | while read -r file; do
        as_server sh -c 'kill -QUIT "$1"' sh "$(head -n 1 "$file")" 2>/dev/null || true
    done
}

# Ends what runs in $scratch and removes it.
scratch_remove() {
    trap '' INT TERM
    [ -d "$scratch" ] || return 0
    sweep "$scratch"
    # A server that ends may write a last file meanwhile.
    rm -rf "$scratch" 2>/dev/null || { sleep 1 && rm -rf "$scratch"; }
}

# The words after "NAME:" in a comment on one of the first lines of a C file,
# such as /* sources: src/http/url.c */.
comment_words() {
    sed -nE "1,15s,^[/ ]\*+ *$1: *(.*[^ ]) *\*/.*,\1,p;1,15s,^[/ ]\*+ *$1: *([^*]*[^ *]) *\$,\1,p" "$2" | tr '\n' ' '
}
