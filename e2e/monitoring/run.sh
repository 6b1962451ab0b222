#!/usr/bin/env bash
# Asks a real Prometheus everything that the dashboards ask, while a federation and two operators are in use.
# Usage: run.sh FOLDER, which has cairn and cairn-load
set -euo pipefail
programs=$(realpath "$1")
source "$(dirname "$0")/world.sh"

need_prometheus
start_world "${BASE_PORT:-27984}"
export CAIRN_PROMETHEUS=$prometheus
[ -n "$operators" ] || export CAIRN_WITHOUT_OPERATOR=1
$TEST --quiet --test prometheus -- --ignored --nocapture --test-threads=1
