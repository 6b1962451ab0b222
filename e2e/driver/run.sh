#!/usr/bin/env bash
# Installs the official driver, starts a federation of four, runs the driver's flows against it.
# Usage: run.sh PATH/TO/cairn
set -euo pipefail
cairn=$(realpath "$1")
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

source ../federation.sh
port=${BASE_PORT:-24984}
start_federation "$port"
CAIRN_URLS=$(federation_urls "$port")
export CAIRN_URLS
node --test
