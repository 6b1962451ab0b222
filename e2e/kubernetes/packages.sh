#!/usr/bin/env bash
# The Debian packages that a cluster of cluster.sh needs.
#
#   packages.sh             names those that are missing, and how to get them; 1 when there are any
#   packages.sh --install   installs them, as root; nothing is started by that
set -euo pipefail

# A program of each, and the package that it comes from.
needed='containerd=containerd ctr=containerd runc=runc /usr/lib/cni/bridge=containernetworking-plugins
  ip=iproute2 nft=nftables iptables=iptables conntrack=conntrack jq=jq openssl=openssl python3=python3
  unshare=util-linux mount=mount mkfs.xfs=xfsprogs ps=procps curl=curl'

missing=()
for pair in $needed; do
  command -v "${pair%=*}" >/dev/null || missing+=("${pair#*=}")
done
[ ${#missing[@]} != 0 ] || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

case ${1:-} in
  --install) ;;
  '')
    echo "missing packages: ${missing[*]}" >&2
    echo "as root: $0 --install, or apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
    ;;
  *)
    echo "packages.sh: $1 is not an option; --install, or nothing, would do" >&2
    exit 2
    ;;
esac
[ "$(id -u)" = 0 ] || {
  echo "packages.sh: only root can install packages" >&2
  exit 1
}
command -v apt-get >/dev/null || {
  echo "packages.sh: there is no apt-get here; your system's packages of ${missing[*]} would do" >&2
  exit 1
}
echo "installing ${missing[*]} ..." >&2
# containerd's package starts it, as a service of the machine: the cluster has its own, in each node.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2 >&2
apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}" >&2
