#!/bin/bash
# Runs every fuzz target of test/fuzz with libFuzzer and the sanitizers for
# FUZZ_SECONDS (20) each. FUZZ="name…" runs only these. An input that breaks a
# target is kept in build/fuzz; put it into test/fuzz/corpus/NAME with the mend.
set -eu
# shellcheck source=test/lib.sh
. "$(dirname "$0")/lib.sh"
test/packages.sh build fuzz
seconds=${FUZZ_SECONDS:-20}
mkdir -p build/fuzz
failed=0

# fuzz_one FILE: builds and runs one target.
fuzz_one() {
    local file=$1 name program arguments corpus
    name=$(basename "$file" .c)
    name=${name#fuzz_}
    program=$checkout/build/fuzz/fuzz_$name
    # shellcheck disable=SC2046
    clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Wall -Wextra \
        -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare -Isrc -o "$program" "$file" \
        $(comment_words sources "$file") $(comment_words libs "$file") || return 1
    corpus=build/fuzz/corpus/$name # grows from run to run
    mkdir -p "$corpus"
    arguments=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
        -artifact_prefix="build/fuzz/$name-")
    [ ! -f "test/fuzz/$name.dict" ] || arguments+=(-dict="test/fuzz/$name.dict")
    arguments+=("$corpus")
    [ ! -d "test/fuzz/corpus/$name" ] || arguments+=("test/fuzz/corpus/$name")
    "$program" "${arguments[@]}" >"build/fuzz/$name.log" 2>&1 || {
        tail -n 60 "build/fuzz/$name.log"
        return 1
    }
    printf 'fuzz %-24s %12s inputs in %s s\n' "$name" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$name.log")" "$seconds"
}

for file in test/fuzz/fuzz_*.c; do
    name=$(basename "$file" .c)
    [ -f "$file" ] || continue
    [ -z "${FUZZ:-}" ] || [[ " $FUZZ " = *" ${name#fuzz_} "* ]] || continue
    fuzz_one "$file" || {
        say "fuzz ${name#fuzz_} FAILED"
        failed=1
    }
done
exit $failed
