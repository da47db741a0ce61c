#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# The ternary kernels beside the fastest peers', in one run on one machine:
#
#   tools/peers/bench_kernels.sh PEERS_DIR [--quick | --build-only] [--peers-only] [--rounds 3]
#       [--shapes 2560x6912,6912x2560] [--tokens 1,8,32,128,512] [--threads 1,2] [--pages huge,small]
#       [--bho FILE]
#
# PEERS_DIR is any folder outside the checkout: the peers' sources (from PyPI) and builds go there, 1 GB in all.
# Shapes are rows x columns of the weights. Weights in main memory are timed for one token, on each kind of pages;
# weights in the cache on huge ones. --bho is a program built before; without it cargo builds one.
# Run nothing else meanwhile.
set -euo pipefail

usage() {
    sed -n '3,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
[[ $# -ge 1 && $1 != -* ]] || usage
mkdir -p "$1"
peers=$(cd "$1" && pwd)
shift
rounds=3 shapes=2560x6912,6912x2560 tokens=1,8,32,128,512 threads=1,2 pages=huge,small bho='' build_only=false ours=true
while [[ $# -gt 0 ]]; do
    case $1 in
        --quick) rounds=1 shapes=2560x6912 tokens=1,128 pages=huge ;;
        --build-only) build_only=true ;;
        --peers-only) ours=false ;;
        --rounds | --shapes | --tokens | --threads | --pages | --bho)
            [[ $# -ge 2 ]] || usage
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        *) usage ;;
    esac
    shift
done
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

# -- what is missing is built ------------------------------------------------------------------------------------

if [[ ! -x $peers/venv/bin/python ]]; then "${PYTHON:-python3}" -m venv "$peers/venv"; fi
export PATH="$peers/venv/bin:$PATH"
python -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements_kernels.txt"
mkdir -p "$peers/src" "$peers/results"

# fetch FOLDER PACKAGE VERSION SHA256: unpacks an sdist; its folder vendor/ holds the C++ sources.
fetch() {
    local archive=$peers/src/${2//-/_}-$3.tar.gz
    [[ -d $peers/src/$1 ]] && return
    python -m pip download --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-binary "$2" \
        --dest "$peers/src" "$2==$3"
    echo "$4  $archive" | sha256sum --check --quiet
    mkdir -p "$peers/src/$1.part"
    tar -xzf "$archive" -C "$peers/src/$1.part" --strip-components 1
    mv "$peers/src/$1.part" "$peers/src/$1"
}
fetch llama llama-cpp-python 0.3.36 832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
fetch ik ik-llama-cpp-python 0.1.5 33c67eb99e4dcab5e611050433243815709b8b3067753f9ce18375013cf002ad

# build ENGINE SOURCES ISA OPTIONS...: the engine's CPU library and the harness linked with it.
build() {
    local engine=$1 sources=$2 isa=$3 out=$peers/build/$1-$3
    shift 3
    if [[ ! -f $out/built ]]; then
        echo "building $engine for $isa" >&2
        cmake -S "$sources" -B "$out" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_CCACHE=OFF \
            -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF \
            -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_UI=OFF \
            -DGGML_IQK_FA_ALL_QUANTS=OFF "$@" >"$out.log" 2>&1 &&
            ninja -C "$out" -j "${JOBS:-2}" ggml >>"$out.log" 2>&1 || { tail -20 "$out.log" >&2 && exit 1; }
        touch "$out/built"
    fi
    if [[ $here/ggml_matmul.c -nt $out/ggml_matmul ]]; then
        local libraries=()
        for name in ggml ggml-cpu ggml-base; do # in the order that the linker needs
            if [[ -f $out/ggml/src/lib$name.a ]]; then libraries+=("$out/ggml/src/lib$name.a"); fi
        done
        cc -O3 -std=gnu11 -Wall -Wextra -I"$sources/ggml/include" -c "$here/ggml_matmul.c" -o "$out/ggml_matmul.o"
        c++ -fopenmp "$out/ggml_matmul.o" "${libraries[@]}" -lpthread -ldl -lm -o "$out/ggml_matmul"
    fi
}
mkdir -p "$peers/build"
avx2=(-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON)
for engine in llama:llama.cpp ik:ik_llama.cpp; do
    sources=$peers/src/${engine%:*}/vendor/${engine#*:}
    build "${engine%:*}" "$sources" native -DGGML_NATIVE=ON
    build "${engine%:*}" "$sources" avx2 "${avx2[@]}"
done
if $ours && [[ -z $bho ]]; then
    (cd "$root" && cargo build --release --bin bho)
    target=$(cd "$root" && cargo metadata --format-version 1 --no-deps |
        python -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    bho=$target/release/bho
fi
if $build_only; then exit; fi

# -- one run, engines in turn ------------------------------------------------------------------------------------

# All backends of ours but the plain one, which is there to be right.
if $ours; then
    isas=$("$bho" doctor --json | python -c 'import json, sys
print(",".join(isa for isa in json.load(sys.stdin)["kernels"]["available"] if isa != "scalar"))')
fi
results=$peers/results/$(date -u +%Y%m%dT%H%M%SZ).jsonl
run_ours() { # run_ours SHAPE TOKENS OP: every backend
    "$bho" bench kernels --json --op "$3" --isa "$isas" --shapes "$1" --tokens "$2" --threads "$threads" --pages "$pages" |
        python -c 'import json, sys; print(json.dumps(json.load(sys.stdin)))' >>"$results"
}
run_peers() { # run_peers SHAPE TOKENS MODE PAGES: every peer; activations quantized beforehand, as ours are
    local shape=$1 isa
    for isa in native avx2; do
        for engine in llama:llama.cpp:tq2_0,tq1_0 ik:ik:iq2_bn,iq2_bn_r4,iq1_bn; do
            IFS=: read -r folder name types <<<"$engine"
            "$peers/build/$folder-$isa/ggml_matmul" engine="$name" isa="$isa" types="$types" rows="${shape%x*}" \
                cols="${shape#*x}" tokens="$2" threads="$threads" mode="$3" pages="$4" activations=q8 >>"$results"
        done
    done
}
for round in $(seq "$rounds"); do
    for shape in ${shapes//,/ }; do
        echo "round $round of $rounds: $shape" >&2
        if $ours; then
            run_ours "$shape" "$tokens" ternary
            if [[ ,$tokens, == *,1,* ]]; then run_ours "$shape" 1 dense; fi
        fi
        run_peers "$shape" "$tokens" cache huge
        if [[ ,$tokens, == *,1,* ]]; then
            for kind in ${pages//,/ }; do run_peers "$shape" 1 dram "$kind"; done
        fi
    done
done
echo "rows in $results" >&2
python "$here/kernels_table.py" "$results"
