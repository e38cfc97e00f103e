#!/bin/bash
# Builds, and runs every layer of tests in throwaway clusters.
#
#   test/run.sh [--asan | --coverage] [layer…]     layers: unit regress isolation tap
#
# TESTS="name…" runs only these tests. INTEG_LONG=1 asks the tests for their
# full counts. Logs of what failed are kept in build/logs. The last line says
# "N passed, N failed".
set -u
variant=plain
case ${1:-} in
    --asan) variant=asan && shift ;;
    --coverage) variant=coverage && shift ;;
esac
layers=${*:-${LAYERS:-unit regress isolation tap}}
# shellcheck source=test/lib.sh
. "$(dirname "$0")/lib.sh"
[ "$variant" = asan ] && time_limit=${INTEG_TEST_TIMEOUT:-3600} || time_limit=${INTEG_TEST_TIMEOUT:-600}
# Full counts take their time: also one statement, or one wait, of a test.
[ -z "${INTEG_LONG:-}" ] || { time_limit=${INTEG_TEST_TIMEOUT:-14400} && export PG_TEST_TIMEOUT_DEFAULT=3600; }

trap scratch_remove EXIT
trap 'exit 130' INT TERM

# report LAYER NAME PASSED FAILED SKIPPED SECONDS
report() {
    local text="$3 passed"
    [ "$4" = 0 ] || text+=", $4 failed"
    [ "$5" = 0 ] || text+=", $5 skipped"
    printf '%-10s %-32s %-34s %6.1f s\n' "$1" "$2" "$text" "$6"
    printf '%s %s %s %s %s\n' "$1" "${2%% *}" "$3" "$4" "$5" >>"$results"
}

# keep NAME FILE…: the logs of what failed stay in build/logs.
keep() {
    local to=$checkout/build/logs/$1
    shift
    mkdir -p "$to" && cp -r "$@" "$to/" 2>/dev/null
}

wanted() { [ -z "${TESTS:-}" ] || [[ " $TESTS " = *" $1 "* ]]; }
now() { date +%s.%N; }
since() { awk "BEGIN { print $(now) - $1 }"; }

# tap_count FILE STATUS: "passed failed skipped" of a TAP log. A log that ends
# before its plan says so, or a status that no failed test explains, is a failure.
tap_count() {
    awk -v status="$2" '
        /^1\.\.0 *# *[Ss][Kk][Ii][Pp]/ { skipped = 1; all = 1; next }
        /^1\.\.[0-9]+/ { plan += substr($1, 4); planned = 1; next }
        /^(not )?ok.*# *[Ss][Kk][Ii][Pp]/ { skipped++; next } # cmocka skips with "not ok"
        /^not ok .*# *[Tt][Oo][Dd][Oo]/ { skipped++; next }
        /^not ok/ { failed++; next }
        /^ok/ { passed++ }
        END {
            if (!all && (!planned || plan != passed + failed + skipped || (status != 0 && !failed))) failed++
            print passed + 0, failed + 0, skipped + 0
        }' "$1"
}

# show_failure DIR: what failed, and the end of the logs behind it.
show_failure() {
    local log noise='^(ok [0-9]|# (Running|Checking|Postmaster|Name:|Data dir|Backup dir|Archive dir'
    noise+='|Connection str|Log file))'
    noise+="|^# ('|[{}]| +'std(out|err)' =>|connect output:|.*background_psql: ready)"
    grep -vE "$noise" "$1.log" | tail -n 150 | sed 's/^/    /'
    # The server's modules write here why a test died.
    for log in "$1"/tmp_check/log/regress_log_* "$1"/tmp_check/log/*.log "$1"/log/regress_log_* "$1"/log/*.log; do
        [ -f "$log" ] || continue
        say "    --- last lines of ${log##*/}"
        tail -n 20 "$log" | cut -c1-240 | sed 's/^/    /'
    done
}

# run_tap LAYER NAME DIR COMMAND…: runs a program that prints TAP.
run_tap() {
    local layer=$1 name=$2 dir=$3 start status passed failed skipped
    shift 3
    start=$(now)
    as_server timeout -k 20 "$time_limit" "$@" >"$dir.log" 2>&1 </dev/null
    status=$?
    read -r passed failed skipped < <(tap_count "$dir.log" "$status")
    {
        flock 8
        report "$layer" "$name" "$passed" "$failed" "$skipped" "$(since "$start")"
        if [ "$failed" != 0 ]; then
            [ "$status" != 124 ] || say "$name took longer than $time_limit s"
            show_failure "$dir"
            keep "$name" "$dir.log" "$dir/tmp_check/log" "$dir/log"
        fi
    } 8>"$scratch/output.lock"
    sweep "$dir"
    rm -rf "$dir"
}

# throttle N: waits until fewer than N tests run.
throttle() {
    while [ "$(jobs -rp | wc -l)" -ge "$1" ]; do
        wait -n
    done
}

# Code that is free of PostgreSQL, under the sanitizers.
unit_one() {
    local server_headers
    server_headers=$("${PG_CONFIG:-pg_config}" --includedir-server)
    local file=$1 name flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -O1" program
    name=$(basename "$file" .c)
    program=$scratch/unit/$name
    [ "$variant" != coverage ] || flags="--coverage -O0"
    # shellcheck disable=SC2046,SC2086
    if ! (cd "$source" && gcc -std=gnu11 -D_GNU_SOURCE -g $flags -Wall -Wextra -Werror -Wno-unused-parameter \
        -Wno-missing-field-initializers -Wno-sign-compare -Wno-format-truncation -Isrc -isystem "$server_headers" \
        -dumpdir "$program." -o "$program" "$file" \
        $(comment_words sources "$file") -lcmocka $(comment_words libs "$file")) >"$program.log" 2>&1; then
        {
            flock 8
            report unit "$name" 0 1 0 0
            sed 's/^/    /' "$program.log"
        } 8>"$scratch/output.lock"
        return
    fi
    chown "$server_user" "$program" "$program".* 2>/dev/null
    run_tap unit "$name" "$program" env -C "$source" CMOCKA_MESSAGE_OUTPUT=TAP \
        ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 "$program"
}

layer_unit() {
    local file
    mkdir "$scratch/unit" && chown "$server_user" "$scratch/unit"
    for file in test/unit/test_*.c; do
        [ -f "$file" ] && wanted "$(basename "$file" .c)" || continue
        throttle "$jobs"
        unit_one "$file" &
    done
    throttle 1
}

# The cluster that the regression and isolation tests share, with the local service beside it.
shared_cluster() {
    [ -z "${shared_ready:-}" ] || return 0
    provider_start "$scratch/provider" --token provider-token && cluster_start "$scratch/cluster" && shared_ready=yes
}

# "verdict name milliseconds" of each test in pg_regress's output, which 15 and 16 word differently.
regress_lines() {
    sed -nE -e 's/^(test)? +([A-Za-z0-9_-]+) +\.\.\. (ok|FAILED)[^0-9]*.* ([0-9]+) ms$/\3 \2 \4/p' \
        -e 's/^ok [0-9]+ +[-+] ([A-Za-z0-9_-]+) +([0-9]+) ms$/ok \1 \2/p' \
        -e 's/^not ok [0-9]+ +[-+] ([A-Za-z0-9_-]+) +([0-9]+) ms$/FAILED \1 \2/p' "$1"
}

# run_regress LAYER PROGRAM INPUT TEST…: one database with integ for all of them, as psql's superuser.
run_regress() {
    local layer=$1 program=$2 input=$3 out=$scratch/$1 test line failures=0
    shift 3
    # pg_regress gives up at the first test without expected output.
    for test in "$@"; do
        shift
        [ ! -f "$input/expected/$test.out" ] || set -- "$@" "$test"
        [ -f "$input/expected/$test.out" ] || report "$layer" "$test (no expected/$test.out)" 0 1 0 0
    done
    [ $# -gt 0 ] || return 0
    shared_cluster || {
        report "$layer" server 0 1 0 0
        return
    }
    as_server mkdir -p "$out"
    as_server env -C "$out" PGUSER=postgres PATH="$bindir:$PATH" INTEG_PROVIDER_URL="http://127.0.0.1:$provider_port" \
        INTEG_PROVIDER_TOKEN=provider-token INTEG_SOURCE="$source" \
        timeout -k 20 "$time_limit" "$program" --bindir="$bindir" --inputdir="$input" --outputdir="$out" \
        --host="$scratch/cluster" --port=5432 --dbname="integ_$layer" --load-extension=integ --no-locale \
        --encoding=UTF8 "$@" >"$out.log" 2>&1 </dev/null
    regress_lines "$out.log" >"$out.lines"
    for test in "$@"; do
        line=$(grep -m1 " $test " "$out.lines")
        if [[ $line = ok* ]]; then
            report "$layer" "$test" 1 0 0 "$(awk "BEGIN { print ${line##* } / 1000 }")"
        else
            report "$layer" "$test" 0 1 0 "$(awk "BEGIN { print ${line##* }0 / 10000 }")"
            failures=$((failures + 1))
        fi
    done
    [ $failures -gt 0 ] || return 0
    # Where pg_regress itself gave up there is no diff, and its own words say why.
    [ -s "$out/regression.diffs" ] && cat "$out/regression.diffs" || tail -n 30 "$out.log"
    keep "$layer" "$out.log" "$out/results" "$out/regression.diffs"
}

names() {
    local file name
    for file in "$@"; do
        name=$(basename "${file%.*}")
        [ ! -f "$file" ] || ! wanted "$name" || echo "$name"
    done
}

layer_regress() {
    # shellcheck disable=SC2046
    run_regress regress "$pgxs/src/test/regress/pg_regress" "$source" $(names sql/*.sql)
}

layer_isolation() {
    # shellcheck disable=SC2046
    run_regress isolation "$pgxs/src/test/isolation/pg_isolation_regress" "$source/test/isolation" \
        $(names test/isolation/specs/*.spec)
}

# A crash in the shared cluster is a failure, whatever the tests say.
check_crash() {
    [ -n "${shared_ready:-}" ] || return 0
    local crash=0 signs='was terminated by signal|TRAP: |PANIC: |ERROR: AddressSanitizer|runtime error: '
    cluster_stop "$scratch/cluster" || crash=1
    ! grep -qE "$signs" "$scratch/cluster/log" || crash=1
    if [ $crash = 1 ]; then
        report crash server 0 1 0 0
        grep -nE -B5 -A20 "$signs" "$scratch/cluster/log" | head -n 150
        keep cluster "$scratch/cluster/log"
    fi
}

check_sanitizer() {
    [ "$variant" = asan ] || return 0
    local reports
    reports=$(find "$scratch/sanitizer" -type f)
    [ -n "$reports" ] || { report sanitizer server 1 0 0 0; return 0; }
    report sanitizer server 0 1 0 0
    # shellcheck disable=SC2086
    head -n 80 $reports
    keep sanitizer "$scratch/sanitizer"
}

# Where a test that runs now takes programs from npm, they are installed; those tests skip where npm cannot.
npm_prepare() {
    local file
    for file in test/t/*.pl; do
        wanted "$(basename "$file" .pl)" && grep -q '^use Integ::Node' "$file" || continue
        if INTEG_NODE_MODULES=${INTEG_NODE_MODULES:-$(test/npm.sh 2>"$scratch/npm.log")}; then
            export INTEG_NODE_MODULES
        else
            unset INTEG_NODE_MODULES
            say "npm installed nothing, so tests that need it are skipped:"
            tail -n 10 "$scratch/npm.log" | sed 's/^/    /'
        fi
        return
    done
}

layer_tap() {
    local file name dir
    npm_prepare
    mkdir "$scratch/tap" && chown "$server_user" "$scratch/tap"
    for file in test/t/*.pl; do
        name=$(basename "$file" .pl)
        [ -f "$file" ] && wanted "$name" || continue
        dir=$scratch/tap/$name
        throttle "$jobs"
        as_server mkdir -p "$dir/tmp_check" "$dir/log" "$dir/t"
        run_tap tap "$name" "$dir" env -C "$source" PATH="$bindir:$PATH" \
            PERL5LIB="$pgxs/src/test/perl:$source/test/perl" \
            PG_REGRESS="$pgxs/src/test/regress/pg_regress" TESTDIR="$dir" TMPDIR="$dir/t" TESTDATADIR="$dir/tmp_check" \
            TESTLOGDIR="$dir/log" INTEG_SOURCE="$source" INTEG_VARIANT="$variant" perl "$file" &
    done
    throttle 1
}

# The sum, as the last line.
finish() {
    local passed failed skipped summary
    read -r passed failed skipped < <(awk '{ p += $3; f += $4; s += $5 } END { print p + 0, f + 0, s + 0 }' "$results")
    [ "$passed" -gt 0 ] || failed=$((failed > 0 ? failed : 1)) # nothing ran: the build failed, or TESTS names nothing
    [ "$failed" = 0 ] || [ ! -d build/logs ] || say "Logs of what failed: build/logs"
    summary="$passed passed, $failed failed"
    [ "$skipped" = 0 ] || summary+=", $skipped skipped"
    say "$summary"
    [ "$failed" = 0 ] && [ "${below:-0}" = 0 ]
    exit
}

test/packages.sh build run test || exit 1
scratch_make check
results=$scratch/results
: >"$results"
rm -rf build/logs
source_copy
say "Building integ for $("${PG_CONFIG:-pg_config}" --version) in $scratch."
build_install || finish
for layer in $layers; do
    declare -F "layer_$layer" >/dev/null ||
        fail "There is no layer \"$layer\"; there are unit, regress, isolation and tap."
    "layer_$layer"
done
check_crash
check_sanitizer
below=0
[ "$variant" != coverage ] || test/coverage.sh "$source" || below=1
finish
