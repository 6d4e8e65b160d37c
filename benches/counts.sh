#!/bin/sh
# Instructions per message of the pure paths, by callgrind, against the committed baseline.
#
#   benches/counts.sh            compare; fails if a path needs 2 % more instructions than its baseline
#   benches/counts.sh --write    write the baseline (with the compiler and the processor it holds for)
#
# Each path runs twice, with N and 2N messages; the difference of the instructions over N is the price of one message.
set -eu
cd "$(dirname "$0")/.."
baseline=benches/baselines/counts.txt
target=${CARGO_TARGET_DIR:-target}
n=${COUNTS_N:-100000}

command -v valgrind >/dev/null || { echo "counts: valgrind is missing: apt-get install valgrind" >&2; exit 2; }
cargo build --release --quiet -p shard-benches --bin counts
bin=$target/release/counts
paths=$("$bin" 2>&1 | sed -n 's/.*one of: //p')
[ -n "$paths" ] || { echo "counts: $bin names no paths" >&2; exit 2; }

# instructions PATH N
instructions() {
    log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bin" "$1" "$2" 2>&1) || { echo "$log" >&2; exit 2; }
    echo "$log" | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

new=$(mktemp)
trap 'rm -f "$new"' EXIT
for path in $paths; do
    once=$(instructions "$path" "$n")
    twice=$(instructions "$path" $((n * 2)))
    awk -v path="$path" -v once="$once" -v twice="$twice" -v n="$n" \
        'BEGIN { printf "%-24s %.1f\n", path, (twice - once) / n }' >> "$new"
done

if [ "${1:-}" = --write ]; then
    mkdir -p "$(dirname "$baseline")"
    {
        echo "# instructions per message, written by benches/counts.sh --write"
        echo "# $(rustc --version); $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
        cat "$new"
    } > "$baseline"
    cat "$baseline"
    exit 0
fi

[ -f "$baseline" ] || { echo "counts: no baseline at $baseline: write one with benches/counts.sh --write" >&2; exit 2; }
awk '
    FNR == NR { if ($0 !~ /^#/) old[$1] = $2; next }
    {
        if (!($1 in old)) { printf "%-24s %8.1f  no baseline\n", $1, $2; failed = 1; next }
        change = old[$1] > 0 ? ($2 / old[$1] - 1) * 100 : 0
        word = change > 2 ? "WORSE" : (change < -2 ? "better: write the baseline" : "ok")
        if (change > 2) failed = 1
        printf "%-24s %8.1f  baseline %8.1f  %+.1f %%  %s\n", $1, $2, old[$1], change, word
    }
    END { exit failed }
' "$baseline" "$new"
