#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# The encoder bench beside its peer, in one run on one machine:
#
#   tools/peers/bench_encoder.sh VENV [--peer-only] [-- ARGUMENTS OF bench_encoder_ort.py]
#
# VENV is a Python virtual environment; it is made, with the pinned packages of requirements.txt, if it is not there.
# Run nothing else meanwhile.
set -euo pipefail

usage() {
    sed -n '3,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
[[ $# -ge 1 && $1 != -* ]] || usage
venv=$1
shift
peer_only=false
if [[ ${1:-} == --peer-only ]]; then
    peer_only=true
    shift
fi
if [[ ${1:-} == -- ]]; then shift; elif [[ $# -gt 0 ]]; then usage; fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

if [[ ! -x $venv/bin/python ]]; then "${PYTHON:-python3}" -m venv "$venv"; fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"

if $peer_only; then
    exec "$venv/bin/python" "$here/bench_encoder_ort.py" "$@"
fi

peer=$(mktemp)
trap 'rm -f "$peer"' EXIT
# Compiled first: a busy compiler would slow the peer down.
(cd "$root" && cargo bench -p bho-benches --bench encoder --no-run)
"$venv/bin/python" "$here/bench_encoder_ort.py" --json "$@" >"$peer"
since=$(date +%s)
(cd "$root" && cargo bench -p bho-benches --bench encoder)
target=$(cd "$root" && cargo metadata --format-version 1 --no-deps |
    "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
"$venv/bin/python" "$here/encoder_table.py" "$peer" "$target/criterion" --since "$since"
