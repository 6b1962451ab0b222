#!/usr/bin/env bash
# Whether this kernel has what a node needs; cluster.sh check runs it in throw-away namespaces.
set -uo pipefail
try() { # WHAT COMMAND...
  local what=$1 said
  shift
  said=$("$@" 2>&1) || {
    echo "$what: $said"
    exit 1
  }
}
try "no bridges" ip link add bridge type bridge
try "no pairs of virtual interfaces" ip link add one type veth peer name other
try "no nftables" nft -f - <<<'table inet probe { chain forward { type filter hook forward priority 0; ct state new accept; }; }'
try "no filters on bridges (br_netfilter)" test -e /proc/sys/net/bridge/bridge-nf-call-iptables
try "no tmpfs" mount -t tmpfs tmpfs /mnt
mkdir /mnt/{below,above,work,merged}
try "no overlayfs" mount -t overlay -o lowerdir=/mnt/below,upperdir=/mnt/above,workdir=/mnt/work overlay /mnt/merged
