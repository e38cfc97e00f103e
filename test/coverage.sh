#!/bin/bash
# Line coverage per folder against its goal, from the counts that an
# instrumented run left: coverage.sh SOURCE, the copy that was built and run
# (called by test/run.sh --coverage). Branches that only a failing allocation
# or library reaches are marked GCOVR_EXCL_LINE or GCOVR_EXCL_START … STOP.
set -eu
source=$1
cd "$(dirname "$0")/.."
test/packages.sh coverage
mkdir -p build/coverage
gcovr --root "$source" --object-directory "$source" --filter "$source/src/" --filter "$source/background_workers/" \
    --gcov-ignore-parse-errors --exclude-throw-branches --json-summary build/coverage/summary.json \
    --html-details build/coverage/index.html "$(dirname "$source")" >build/coverage/log 2>&1 || {
    cat build/coverage/log
    exit 1
}
exec python3 - build/coverage/summary.json <<'PYTHON'
import collections
import json
import sys

GOALS = {"oauth": 95, "webhooks": 95, "vault": 95, "http": 90}
OTHERS = 85

covered, total = collections.Counter(), collections.Counter()
with open(sys.argv[1], encoding="utf-8") as summary:
    for file in json.load(summary)["files"]:
        parts = file["filename"].split("/")
        folder = parts[1] if parts[0] == "src" else parts[0]
        covered[folder] += file["line_covered"]
        total[folder] += file["line_total"]
missed = 0
print(f"{'folder':<20} {'lines':>7} {'covered':>8} {'percent':>8} {'goal':>5}")
for folder in sorted(total):
    percent = 100 * covered[folder] / max(1, total[folder])
    goal = GOALS.get(folder, OTHERS)
    below = percent < goal
    missed += below
    print(f"{folder:<20} {total[folder]:>7} {covered[folder]:>8} {percent:>7.1f}% {goal:>4}%{'  below its goal' if below else ''}")
print("Line by line: build/coverage/index.html")
sys.exit(1 if missed else 0)
PYTHON
