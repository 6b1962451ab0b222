# What the scripts of a cluster share: where it lives, how they speak, how they wait. Sourced, not run.

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
dir=$(realpath -m "${CAIRN_CLUSTER_DIR:-/tmp/cairn-cluster}")
# What `up` was told, for everything that comes after it.
if [ -e "$dir/settings" ]; then
  . "$dir/settings"
else
  network=${CAIRN_CLUSTER_NETWORK:-10.99}
fi

# Nodes are .10 and up of the first network, node 1 has its pods in the first of the pods' networks, and so on.
nodes=$network.0
services=$network.1 # .1 is the API server, .10 is DNS
pods_of() { echo "$network.$((128 + $1)).0/24"; }
all_pods=$network.128.0/17
# The interface on the machine, and the control group.
name=cairn${network/./-}
server=https://$nodes.1:6443
certificates=$dir/certificates

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$(basename "$0"): $*"
  exit 1
}
# How long it has been since the script began.
lap() {
  local tenths=$((($(date +%s%N) - begun) / 100000000))
  say "$(printf '%4d.%d s  %s' $((tenths / 10)) $((tenths % 10)) "$*")"
}
begun=$(date +%s%N)

# Waits until a command succeeds; looks ten times a second.
wait_for() { # SECONDS WHAT COMMAND...
  local limit=$1 what=$2 end
  shift 2
  end=$(($(date +%s) + limit))
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$end" ] || {
      say "$(basename "$0"): waited $limit s for $what"
      return 1
    }
    sleep 0.1
  done
}

started_at() { awk '{sub(/.*\) /, ""); print $20}' "/proc/$1/stat" 2>/dev/null; }
# The process whose id and time of start a file holds, if it lives: ids are used again.
alive() { # FILE
  local process at
  [ -s "$1" ] || return 1
  read -r process at <"$1" || return 1
  [ "$(started_at "$process")" = "$at" ] && ! grep -q '^State:.Z' "/proc/$process/status" && echo "$process"
}
# The boxes that were made, running or not: cp, n1, n2, ...
boxes() {
  local box
  for box in "$dir"/box/*/; do [ ! -e "$box/index" ] || basename "$box"; done
}
index_of() { cat "$dir/box/$1/index"; }
address_of() { echo "$nodes.$((10 + $(index_of "$1")))"; }
