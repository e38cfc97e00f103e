#!/bin/sh
# HTTP against nginx on loopback: a bare libcurl loop, the transfer layer, the scan of bodies.
#   http.sh [count]
# Builds what it needs in build/bench and leaves nothing running.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
count=${1:-22000}
out="$root/build/bench"
scratch=$(mktemp -d)
chmod 755 "$scratch"
mkdir -p "$out"
trap 'test -f "$scratch/nginx.pid" && kill "$(cat "$scratch/nginx.pid")"; rm -rf "$scratch"' EXIT

build() {
    file="$root/test/bench/$1.c"
    sources=$(sed -n 's|^/\* sources: \(.*\) \*/$|\1|p' "$file")
    libs=$(sed -n 's|^/\* libs: \(.*\) \*/$|\1|p' "$file")
    # shellcheck disable=SC2086
    (cd "$root" && ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -g -Isrc "$file" $sources -o "$out/$1" $libs)
}
build bench_bare_curl
build bench_transfer

port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
cat >"$scratch/nginx.conf" <<CONF
worker_processes 1;
error_log $scratch/error.log;
pid $scratch/nginx.pid;
events { worker_connections 256; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path $scratch/body;
    proxy_temp_path $scratch/proxy;
    fastcgi_temp_path $scratch/fastcgi;
    uwsgi_temp_path $scratch/uwsgi;
    scgi_temp_path $scratch/scgi;
    server {
        listen 127.0.0.1:$port;
        location / {
            default_type application/json;
            return 200 '{"ok":true,"data":{"quantity_on_hand":42,"warehouse":"north"}}';
        }
    }
}
CONF
PATH="$PATH:/usr/sbin" nginx -e "$scratch/error.log" -p "$scratch" -c "$scratch/nginx.conf"
url="http://127.0.0.1:$port/items/1"
"$out/bench_bare_curl" "$url" "$count"
"$out/bench_transfer" "$url" "$count"
