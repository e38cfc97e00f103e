#!/bin/bash
# Style and static analysis: lint.sh [--format]. With --format it lets
# clang-format rewrite the C files instead of complaining.
set -u
# shellcheck source=test/lib.sh
. "$(dirname "$0")/lib.sh"
test/packages.sh build lint || exit 1

mapfile -t c_files < <(find src background_workers test -name '*.[ch]' -not -path '*/node_modules/*' 2>/dev/null | sort)
mapfile -t all_files < <(printf '%s\n' "${c_files[@]}"
    find src test sql .ci -type f \( -name '*.sql' -o -name '*.sh' -o -name '*.py' -o -name '*.p[lm]' -o -name run \) 2>/dev/null)
if [ "${1:-}" = --format ]; then
    clang-format -i "${c_files[@]}"
    exit
fi

problems=$(mktemp)
trap 'rm -f "$problems"' EXIT

# check NAME COMMAND…: whatever the command prints is a problem.
check() {
    local name=$1 before
    shift
    before=$(wc -l <"$problems")
    "$@" >>"$problems" 2>&1
    printf '%-14s %s\n' "$name" "$(($(wc -l <"$problems") - before)) lines of complaint"
}

format() { clang-format --dry-run "${c_files[@]}" 2>&1 | grep 'warning:'; }

analyze() {
    cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr -j "$jobs" \
        --suppressions-list=test/cppcheck.txt --template='{file}:{line}: {id}: {message}' \
        --include=test/cppcheck.h -Isrc "${c_files[@]}"
}

# A sentence for a person may be longer than a line.
long_lines() {
    awk 'FNR == 1 { tabs = FILENAME ~ /\.[ch]$/ } {
        line = $0; width = 0
        if (tabs) { n = gsub(/\t/, "    ", line) }
        if (length(line) > (FILENAME ~ /\.[ch]$/ ? 120 : 130) && line !~ /"|\x27|\/\/|sources: /)
            printf "%s:%d: %d columns\n", FILENAME, FNR, length(line)
    }' "${all_files[@]}"
}

long_files() { wc -l "${all_files[@]}" | awk '$2 != "total" && $1 > 800 { print $2 ": " $1 " lines (limit 800)" }'; }

long_functions() {
    awk 'FNR == 1 { start = 0 } /^\{/ { start = FNR }
        /^\}/ { if (start && FNR - start > 80) printf "%s:%d: function of %d lines (limit 80)\n", FILENAME, start, FNR - start; start = 0 }' \
        "${c_files[@]}"
}

unfinished() { grep -nIE '(T[O]DO|F[I]XME|X[X]X:|not i[m]plemented|u[n]implemented)' "${all_files[@]}" Makefile; }

scripts() {
    local file
    for file in .ci/run test/*.sh; do bash -n "$file"; done
    shellcheck --severity=warning --external-sources .ci/run test/*.sh
    for file in test/provider/*.py; do
        python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" || echo "$file does not parse"
    done
}

# The headers of the project compile by themselves, in any order.
headers() {
    local file server
    server=$("${PG_CONFIG:-pg_config}" --includedir-server)
    for file in "${c_files[@]}"; do
        [[ $file = src/*.h || $file = background_workers/*.h ]] || continue
        gcc -std=gnu11 -fsyntax-only -x c -Isrc -I"$server" -D_GNU_SOURCE -include "$file" /dev/null 2>/dev/null ||
            gcc -std=gnu11 -fsyntax-only -x c -Isrc -I"$server" -D_GNU_SOURCE -include postgres.h -include "$file" /dev/null
    done
}

# Warnings are errors in the build; it also makes the headers that are generated.
build() { make --no-print-directory -s -j"$jobs" all 2>&1; }

# Links between the documents lead somewhere.
links() {
    local file target
    for file in *.md docs/*.md; do
        while read -r target; do
            [ -e "$(dirname "$file")/$target" ] || echo "$file: there is no $target"
        done < <(grep -oE '\]\([^)#: ]+[)# ]' "$file" | sed 's/^](//; s/.$//')
    done
}

check build build
check clang-format format
check cppcheck analyze
check columns long_lines
check files long_files
check functions long_functions
check unfinished unfinished
check scripts scripts
check headers headers
check links links
if [ -s "$problems" ]; then
    cat "$problems"
    exit 1
fi
