#!/usr/bin/env bash
# A receipt of a running federation: verified, and refused with every byte changed, by the
# verifier as WebAssembly in Node.
# Usage: run.sh PATH/TO/cairn PATH/TO/cairn_verifier_wasm.wasm
set -euo pipefail
cairn=$(realpath "$1")
CAIRN_WASM=$(realpath "$2")
cd "$(dirname "$0")/../.."

port=${BASE_PORT:-21500}
data=$(mktemp -d)
log="$data/dev.log"
touch "$log"
"$cairn" dev --data "$data/federation" --base-port "$port" >"$log" 2>&1 &
federation=$!
finish() {
  kill -TERM "$federation" 2>/dev/null || true
  wait "$federation" 2>/dev/null || true
  rm -rf "$data"
}
trap finish EXIT
until grep -qx ready "$log"; do
  kill -0 "$federation" 2>/dev/null || { cat "$log"; exit 1; }
  sleep 0.1
done

url="http://127.0.0.1:$port"
"$cairn" key new --out "$data/alice.key" >/dev/null
id=$("$cairn" --output json asset create --key "$data/alice.key" --url "$url" \
  --data '{"bicycle": {"serial": "A-17", "colour": "sea green"}}' | sed -n 's/.*"transaction_id": *"\([0-9a-f]*\)".*/\1/p')
"$cairn" asset receipt "$id" --url "$url" >"$data/receipt.json"
"$cairn" verify receipt "$data/receipt.json" --genesis "$data/federation/genesis.json"

export CAIRN_WASM CAIRN_RECEIPT="$data/receipt.json" CAIRN_GENESIS="$data/federation/genesis.json"
node --test node/verifier/js/verify.test.mjs
