#!/bin/bash
# Runs every fuzz target of test/fuzz with libFuzzer and the sanitizers for
# FUZZ_SECONDS (20) each: programs, and those of test/fuzz/server, which run in
# a server of one process. FUZZ="name…" runs only these. An input that breaks a
# target is kept in build/fuzz; put it into test/fuzz/corpus/NAME with the mend.
set -eu
# shellcheck source=test/lib.sh
. "$(dirname "$0")/lib.sh"
test/packages.sh build fuzz
seconds=${FUZZ_SECONDS:-20}
mkdir -p build/fuzz
failed=0

flags="-g -O1 -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare"

# corpus_of NAME: sets $arguments, libFuzzer's, and makes the corpus, which grows from run to run.
corpus_of() {
    mkdir -p "build/fuzz/corpus/$1"
    arguments=(-max_total_time="$seconds" -rss_limit_mb=2048 -print_final_stats=1
        -artifact_prefix="$checkout/build/fuzz/$1-")
    [ ! -f "test/fuzz/$1.dict" ] || arguments+=(-dict="$checkout/test/fuzz/$1.dict")
    arguments+=("$checkout/build/fuzz/corpus/$1")
    [ ! -d "test/fuzz/corpus/$1" ] || arguments+=("$checkout/test/fuzz/corpus/$1")
}

# ran NAME: tells how many inputs a target ran, from its log.
ran() {
    printf 'fuzz %-24s %12s inputs in %s s\n' "$1" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$1.log")" "$seconds"
}

# fuzz_one FILE: builds and runs one target.
fuzz_one() {
    local file=$1 name program arguments
    name=$(basename "$file" .c)
    name=${name#fuzz_}
    program=$checkout/build/fuzz/fuzz_$name
    # shellcheck disable=SC2046,SC2086
    clang -std=gnu11 -D_GNU_SOURCE -Wall -Wextra $flags -fsanitize=fuzzer,address,undefined \
        -fno-sanitize-recover=undefined -Isrc -o "$program" "$file" \
        $(comment_words sources "$file") $(comment_words libs "$file") || return 1
    corpus_of "$name"
    "$program" -timeout=10 "${arguments[@]}" >"build/fuzz/$name.log" 2>&1 || {
        tail -n 60 "build/fuzz/$name.log"
        return 1
    }
    ran "$name"
}

# The extension, instrumented, in a private copy of the server's trees, and a cluster: sets $pg_config, $preload.
server_build() {
    local sanitize="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fvisibility=default"
    scratch_make fuzz
    trap scratch_remove EXIT
    trap 'exit 130' INT TERM
    source_copy
    pg_config=$(test/tree.sh "$scratch/pg" "${PG_CONFIG:-pg_config}")
    bindir=$("$pg_config" --bindir)
    compile=(CC=clang CXX=clang PG_CONFIG="$pg_config" COPT="$flags $sanitize -w -Wno-ignored-optimization-argument")
    make -s -C "$source" --no-print-directory -j"$jobs" install "${compile[@]}" >"$scratch/build.log" 2>&1 || {
        tail -n 40 "$scratch/build.log"
        return 1
    }
    # libFuzzer as a library that the instrumented ones find, and before the sanitizer's runtime, which has weak
    # functions of the same names.
    gcc -shared -fPIC -Wl,-z,initfirst -o "$scratch/early.so" test/asan/early.c
    clang -shared -o "$scratch/fuzzer.so" -Wl,--whole-archive "$(runtime fuzzer_no_main a)" -Wl,--no-whole-archive \
        -lstdc++
    preload=$scratch/fuzzer.so:$(runtime asan so):$scratch/early.so
    as_server "$bindir/initdb" -D "$scratch/data" -U postgres -A trust -N --no-locale -E UTF8 \
        >"$scratch/initdb.log" 2>&1
    printf '%s\n' "shared_preload_libraries = 'integ'" "fsync = off" "max_stack_depth = '7MB'" |
        as_server tee -a "$scratch/data/postgresql.conf" >/dev/null
    printf 'CREATE EXTENSION integ;\n' | single >"$scratch/create.log" 2>&1
}

runtime() { echo "$(clang -print-resource-dir)/lib/linux/libclang_rt.$1-$(uname -m).$2"; }

# Runs the statements of stdin, a line each, in a server of one process.
single() {
    as_server env LD_PRELOAD="$preload" UBSAN_OPTIONS=print_stacktrace=1 \
        ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:verify_asan_link_order=0 \
        timeout -k 20 $((seconds + 300)) "$bindir/postgres" --single -D "$scratch/data" postgres
}

# fuzz_server FILE: a target that is a function of the server, named as its file.
fuzz_server() {
    local file=$1 name arguments
    name=$(basename "$file" .c)
    name=${name#fuzz_}
    [ -n "${preload:-}" ] || server_build || return 1
    make -s -C "$source/test/fuzz/server" --no-print-directory install MODULES="fuzz_$name" "${compile[@]}" || return 1
    corpus_of "$name"
    # The server's user reads and writes the corpus where it may: in the scratch directory.
    as_server mkdir -p "$scratch/corpus"
    cp -r "build/fuzz/corpus/$name" "$scratch/corpus/"
    chown -R "$server_user" "$scratch/corpus"
    arguments=("${arguments[@]//$checkout\/build\/fuzz/$scratch}")
    arguments=("${arguments[@]//$checkout\/test/$source\/test}")
    {
        echo "CREATE OR REPLACE FUNCTION fuzz_$name(arguments text) RETURNS void LANGUAGE c AS 'fuzz_$name';"
        echo "SELECT fuzz_$name('${arguments[*]}');"
    } | single >"build/fuzz/$name.log" 2>&1
    cp -r "$scratch/corpus/$name" build/fuzz/corpus/
    cp "$scratch/$name-"* build/fuzz/ 2>/dev/null || true
    grep -q '^stat::number_of_executed_units' "build/fuzz/$name.log" &&
        [ -z "$(ls "$scratch/$name-"* 2>/dev/null)" ] || {
        tail -n 60 "build/fuzz/$name.log"
        return 1
    }
    ran "$name"
}

for file in test/fuzz/fuzz_*.c test/fuzz/server/fuzz_*.c; do
    name=$(basename "$file" .c)
    [ -f "$file" ] || continue
    [ -z "${FUZZ:-}" ] || [[ " $FUZZ " = *" ${name#fuzz_} "* ]] || continue
    target=fuzz_one
    [[ $file != */server/* ]] || target=fuzz_server
    $target "$file" || {
        say "fuzz ${name#fuzz_} FAILED"
        failed=1
    }
done
exit $failed
