#!/bin/bash
# What integ costs a database: its creation, and its workers when there is nothing to do.
set -eu
rounds=5
idle=20
[ -z "${INTEG_LONG:-}" ] || { rounds=21 idle=120; }

sql() { psql -X -q -At -v ON_ERROR_STOP=1 -d "${2:-$PGDATABASE}" -c "$1"; }

# Milliseconds of CREATE EXTENSION, each in a fresh database.
create() {
    local number
    for number in $(seq "$rounds"); do
        sql "CREATE DATABASE bench_create_$number TEMPLATE template0 ENCODING 'UTF8'"
        psql -X -q -d "bench_create_$number" -c '\timing on' -c 'CREATE EXTENSION integ' | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
        sql "DROP DATABASE bench_create_$number"
    done | sort -n | sed -n "$(((rounds + 1) / 2))p"
}

# Clock ticks that integ's processes have used.
ticks() {
    local pid total=0 stat
    for pid in $(sql "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'integ%'"); do
        stat=$(sed 's/.*) //' "/proc/$pid/stat")
        # shellcheck disable=SC2086
        set -- $stat
        total=$((total + ${12} + ${13}))
    done
    echo "$total"
}

printf 'bench create_extension_ms %s\n' "$(create)"
sleep 2 # what the last CREATE and DROP DATABASE left to do
before=$(ticks)
sleep "$idle"
after=$(ticks)
printf 'bench idle_cpu_ms_per_minute %s\n' "$(awk "BEGIN { print ($after - $before) * 1000 / $(getconf CLK_TCK) * 60 / $idle }")"
