#!/usr/bin/env bash
# A receipt of a running federation: verified, and refused with every byte changed, by the
# verifier as WebAssembly in Node.
# Usage: run.sh PATH/TO/cairn PATH/TO/cairn_verifier_wasm.wasm
set -euo pipefail
cairn=$(realpath "$1")
CAIRN_WASM=$(realpath "$2")
cd "$(dirname "$0")/../.."

source e2e/federation.sh
port=${BASE_PORT:-23984}
start_federation "$port"

url="http://127.0.0.1:$port"
"$cairn" key new --out "$data/alice.key" >/dev/null
id=$("$cairn" --output json asset create --key "$data/alice.key" --url "$url" \
  --data '{"bicycle": {"serial": "A-17", "colour": "sea green"}}' | sed -n 's/.*"transaction_id": *"\([0-9a-f]*\)".*/\1/p')
"$cairn" asset receipt "$id" --url "$url" >"$data/receipt.json"
"$cairn" verify receipt "$data/receipt.json" --genesis "$data/federation/genesis.json"

export CAIRN_WASM CAIRN_RECEIPT="$data/receipt.json" CAIRN_GENESIS="$data/federation/genesis.json"
node --test node/verifier/js/verify.test.mjs
