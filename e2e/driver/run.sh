#!/usr/bin/env bash
# Installs the official driver, starts a federation of four, runs the driver's flows against it.
# Usage: run.sh PATH/TO/cairn
set -euo pipefail
cairn=$(realpath "$1")
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

port=${BASE_PORT:-24984}
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
CAIRN_URLS=$(for i in 0 1 2 3; do printf 'http://127.0.0.1:%s,' $((port + 10 * i)); done | sed 's/,$//')
export CAIRN_URLS
node --test
