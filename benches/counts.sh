#!/bin/bash
# Instructions per message of the pure paths, by callgrind on the simulation, against the committed baseline.
#
#   benches/counts.sh            compare; fails if a path needs 2 % more instructions than its baseline
#   benches/counts.sh --write    write the baseline, with the compiler and the C library that it holds for
#
# Each path runs twice, with N and 2N messages; the difference of the instructions over N is the price of one message.
# With another compiler or C library the figures cannot be compared: that is said, and nothing fails.
set -euo pipefail
cd "$(dirname "$0")/.."
baseline=benches/baselines/counts.txt
n=${COUNTS_N:-50000}
tolerance=2

fail() {
    echo "counts: $*" >&2
    exit 2
}

key="$(rustc --version); $(ldd --version | sed -n 1p)"
if [ "${1:-}" != --write ]; then
    [ -f "$baseline" ] || fail "no baseline at $baseline: write one with benches/counts.sh --write"
    holds=$(sed -n 's/^# key: //p' "$baseline")
    if [ "$holds" != "$key" ]; then
        echo "counts: skipped: the baseline holds for \"$holds\", and this is \"$key\"."
        echo "counts: to compare a change here, write a baseline before it: benches/counts.sh --write"
        exit 0
    fi
fi

command -v valgrind >/dev/null || fail "valgrind is missing: apt-get install valgrind"
# Not the release profile: its link-time optimisation takes minutes. Without the peers there is little to build.
cargo build --locked --quiet --profile counts -p shard-benches --no-default-features --features own --bin counts
bin=${CARGO_TARGET_DIR:-target}/counts/counts
# Without arguments it names its paths, and fails.
paths=$({ "$bin" 2>&1 || true; } | sed -n "s/.*one of: //p")
[ -n "$paths" ] || fail "$bin names no paths"

new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

# instructions PATH N
instructions() {
    local log
    log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bin" "$1" "$2" 2>&1) ||
        { echo "$log" >&2; fail "$1 $2 did not end well under callgrind"; }
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' <<<"$log"
}

price() {
    local once twice
    once=$(instructions "$1" "$n")
    twice=$(instructions "$1" $((n * 2)))
    [ -n "$once" ] && [ -n "$twice" ] || fail "callgrind counted nothing for $1"
    awk -v path="$1" -v once="$once" -v twice="$twice" -v n="$n" \
        'BEGIN { printf "%-24s %.1f\n", path, (twice - once) / n }' >"$new/$1"
}

# One path per processor at a time: callgrind counts instructions, not time, so neighbours do not matter.
export -f price instructions fail
export n new bin
printf '%s\n' $paths | xargs -P "$(nproc)" -I{} bash -euo pipefail -c 'price "$1"' price {}
for path in $paths; do cat "$new/$path"; done >"$new/all"

if [ "${1:-}" = --write ]; then
    mkdir -p "$(dirname "$baseline")"
    {
        echo "# instructions per message, written by benches/counts.sh --write"
        echo "# key: $key"
        cat "$new/all"
    } >"$baseline"
    cat "$baseline"
    exit 0
fi

awk -v tolerance="$tolerance" '
    FNR == NR { if ($0 !~ /^#/) old[$1] = $2; next }
    {
        if (!($1 in old)) { printf "%-24s %8.1f  no baseline\n", $1, $2; failed = 1; next }
        change = old[$1] > 0 ? ($2 / old[$1] - 1) * 100 : 0
        word = change > tolerance ? "WORSE" : (change < -tolerance ? "better: write the baseline" : "ok")
        if (change > tolerance) failed = 1
        printf "%-24s %8.1f  baseline %8.1f  %+.1f %%  %s\n", $1, $2, old[$1], change, word
        delete old[$1]
    }
    END {
        for (path in old) { printf "%-24s is in the baseline only: write the baseline\n", path; failed = 1 }
        exit failed
    }
' "$baseline" "$new/all"
