#!/usr/bin/env bash
# prometheus.sh [PROGRAM]   prints the path of prometheus, or of PROGRAM of the same package (promtool)
#
# One that is installed is taken. Otherwise Debian's package is unpacked into the cache, not installed: no service
# starts, nothing needs root. Ends with 75 where neither can be had.
set -euo pipefail
program=${1:-prometheus}
command -v "$program" && exit

tools=${XDG_CACHE_HOME:-$HOME/.cache}/cairn-tools/prometheus
if [ ! -x "$tools/usr/bin/$program" ]; then
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || {
    echo "prometheus is not installed, and Debian's package cannot be had here: install it (prometheus.io/download), then try again" >&2
    exit 75
  }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # What packages there are is asked anew, and kept apart: the machine's own list may be gone, and is root's.
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  apt=(apt-get --quiet=2 -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User="$(id -un)")
  (cd "$work" && "${apt[@]}" update && "${apt[@]}" download prometheus) >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    echo "prometheus is not installed, and apt-get cannot download it: install it, then try again" >&2
    exit 75
  }
  dpkg -x "$work"/prometheus_*.deb "$work/prometheus"
  mkdir -p "$(dirname "$tools")"
  rm -rf "$tools"
  mv "$work/prometheus" "$tools"
fi
echo "$tools/usr/bin/$program"
