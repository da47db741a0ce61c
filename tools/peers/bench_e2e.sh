#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# A whole language model beside the fastest peers', in one run on one machine: the shape of BitNet b1.58 2B-4T with
# random weights.
#
#   tools/peers/bench_e2e.sh PEERS_DIR [--rounds 3] [--threads 1,2] [--build-only] [--bho FILE]
#
# PEERS_DIR is the folder of bench_kernels.sh, which is called for what is missing; the models (5 GB) go there too.
# --bho is a program built before; without it cargo builds one. Run nothing else meanwhile.
set -euo pipefail

usage() {
    sed -n '3,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
[[ $# -ge 1 && $1 != -* ]] || usage
mkdir -p "$1"
peers=$(cd "$1" && pwd)
shift
rounds=3 threads=1,2 bho='' build_only=false
while [[ $# -gt 0 ]]; do
    case $1 in
        --build-only) build_only=true ;;
        --rounds | --threads | --bho)
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

"$here/bench_kernels.sh" "$peers" --build-only ${bho:+--bho "$bho"}
export PATH="$peers/venv/bin:$PATH"
if [[ -z $bho ]]; then
    target=$(cd "$root" && cargo metadata --format-version 1 --no-deps |
        python -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    bho=$target/release/bho
fi

# build ENGINE SOURCES DEFINES...: the engine's library and the harness linked with it.
build() {
    local out=$peers/build/$1-native sources=$2 libraries=() name
    shift 2
    ninja -C "$out" -j "${JOBS:-2}" llama >>"$out.log" 2>&1 || { tail -20 "$out.log" >&2 && exit 1; }
    for name in ggml ggml-cpu ggml-base; do # in the order that the linker needs
        if [[ -f $out/ggml/src/lib$name.a ]]; then libraries+=("$out/ggml/src/lib$name.a"); fi
    done
    cc -O2 -std=gnu11 -Wall -Wextra "$@" -I"$sources/include" -I"$sources/ggml/include" -c "$here/llama_bench.c" \
        -o "$out/llama_bench.o"
    c++ -fopenmp "$out/llama_bench.o" "$out/src/libllama.a" "${libraries[@]}" -lpthread -ldl -lm -o "$out/llama_bench"
}
build ik "$peers/src/ik/vendor/ik_llama.cpp" -DIK
build llama "$peers/src/llama/vendor/llama.cpp"

models=$peers/models
mkdir -p "$models"
random() { # random FILE TYPE ARCH
    [[ -f $models/$1 ]] && return
    python "$here/random_gguf.py" "$models/$1.part" --type "$2" --arch "$3"
    mv "$models/$1.part" "$models/$1"
}
random tq2_0.gguf tq2_0 bitnet
random tq1_0.gguf tq1_0 bitnet
random iq2_bn.gguf iq2_bn bitnet-b1.58
for head in int8 int4; do
    for kind in "" --dense; do
        file=$models/bho-$head$kind.safetensors
        [[ -f $file ]] || "$bho" dev make-model "$file" --shape 2b-4t --head "$head" $kind
    done
done
if $build_only; then exit; fi

# -- one run, engines in turn ------------------------------------------------------------------------------------

results=$peers/results/e2e-$(date -u +%Y%m%dT%H%M%SZ).jsonl
run_ours() { # run_ours HEAD DENSE PAGES
    "$bho" bench e2e "$models/bho-$1$2.safetensors" --json --threads "$threads" --rounds 2 --pages "$3" |
        python -c 'import json, sys
row = json.load(sys.stdin)
row["model"] = sys.argv[1]
print(json.dumps(row))' "$([[ -z $2 ]] && echo "2 bits" || echo "1.6 bits"), $1 head, $3 pages" >>"$results"
}
run_peer() { # run_peer ENGINE NAME FILE REPACK
    "$peers/build/$1-native/llama_bench" engine="$2" model="$models/$3" threads="$threads" rounds=2 repack="$4" \
        2>/dev/null >>"$results"
}
for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    run_ours int8 "" small
    run_peer ik "ik_llama.cpp IQ2_BN" iq2_bn.gguf 0
    run_ours int8 "" huge
    run_peer ik "ik_llama.cpp IQ2_BN_R4" iq2_bn.gguf 1
    run_ours int4 "" huge
    run_peer llama "llama.cpp TQ2_0" tq2_0.gguf 0
    run_ours int4 --dense huge
    run_peer llama "llama.cpp TQ1_0" tq1_0.gguf 0
done
echo "rows in $results" >&2
python "$here/e2e_table.py" "$results"
