#!/usr/bin/env bash
# Installs the official driver, starts a federation of four, runs the driver's flows against it.
# Usage: run.sh PATH/TO/cairn
#        run.sh --against URL...     against a federation that is there already
set -euo pipefail
if [ "$1" != --against ]; then cairn=$(realpath "$1"); fi
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

if [ "$1" = --against ]; then
  shift
  CAIRN_URLS=$(IFS=,; echo "$*")
else
  source ../federation.sh
  port=${BASE_PORT:-24984}
  start_federation "$port"
  CAIRN_URLS=$(federation_urls "$port")
fi
export CAIRN_URLS
node --test
