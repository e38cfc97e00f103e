#!/bin/bash
# Runs every executable in test/bench against a cluster with fsync on, and
# prints their "bench NAME VALUE" lines. INTEG_LONG=1 asks for the full sizes;
# BENCHES="name…" runs only these.
set -eu
# shellcheck source=test/lib.sh
. "$(dirname "$0")/lib.sh"
test/packages.sh build run test
scratch_make bench
trap scratch_remove EXIT
trap 'exit 130' INT TERM
source_copy
build_install

# nginx as the fast counterpart: what is measured is not the service.
nginx_start() {
    local dir=$scratch/nginx
    as_server mkdir -p "$dir" "$dir/files"
    nginx_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    as_server tee "$dir/nginx.conf" >/dev/null <<CONF
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi;
    server {
        listen 127.0.0.1:$nginx_port backlog=1024;
        default_type application/json;
        location = /json { return 200 '{"data": {"id": "A-1", "quantity_on_hand": 17, "warehouse": "north"}}'; }
        location = /pages { rewrite ^ /files/page_\$arg_page.json? last; }
        location /files/ { root $dir; }
        location / { return 200 '{"ok": true}'; }
    }
}
CONF
    as_server /usr/sbin/nginx -e "$dir/error.log" -p "$dir" -c "$dir/nginx.conf"
}

mkdir "$scratch/bin"
for file in test/bench/*.c; do
    [ -f "$file" ] || continue
    # shellcheck disable=SC2046
    gcc -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Isrc -o "$scratch/bin/$(basename "$file" .c)" "$file" \
        $(comment_words sources "$file") $(comment_words libs "$file")
done

nginx_start
provider_start "$scratch/provider" --token provider-token
cluster_start "$scratch/cluster" "fsync = on" "synchronous_commit = on" "shared_buffers = 256MB" "max_wal_size = 2GB"
"$bindir/psql" -X -q -h "$scratch/cluster" -p 5432 -U postgres -d postgres -v ON_ERROR_STOP=1 \
    -c 'CREATE DATABASE bench' -c '\c bench' -c 'CREATE EXTENSION integ'

# A bench with a counterpart from npm leaves that part out where npm brings nothing.
INTEG_NODE_MODULES=${INTEG_NODE_MODULES:-$(test/npm.sh 2>"$scratch/npm.log" || true)}

failed=0
for file in test/bench/*; do
    name=$(basename "${file%.*}")
    [ -f "$file" ] && [ -x "$file" ] || continue
    [ -z "${BENCHES:-}" ] || [[ " $BENCHES " = *" $name "* ]] || continue
    as_server env -C "$source" PATH="$bindir:$PATH" PGHOST="$scratch/cluster" PGPORT=5432 PGUSER=postgres PGDATABASE=bench \
        PGDATA="$scratch/cluster/data" BENCH_FILES="$scratch/nginx/files" BENCH_URL="http://127.0.0.1:$nginx_port" \
        BENCH_NGINX_PID="$scratch/nginx/nginx.pid" BENCH_BIN="$scratch/bin" \
        INTEG_PROVIDER_URL="http://127.0.0.1:$provider_port" INTEG_PROVIDER_TOKEN=provider-token \
        INTEG_LONG="${INTEG_LONG:-}" INTEG_NODE_MODULES="$INTEG_NODE_MODULES" "./$file" </dev/null || {
        say "test/bench/$name failed"
        failed=1
    }
done
exit $failed
