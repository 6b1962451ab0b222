#!/bin/bash
# build.sh [OUT]      builds pd-server and cairn-tikv-dev from their pinned Go modules into OUT
# build.sh --where    prints the OUT that it would use by itself, and builds nothing
#
# About 5 minutes on two cores the first time (Go's own cache keeps modules and objects), seconds
# after a change of the launcher, nothing when OUT already has what these sources make. The last
# line of its output is OUT.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
hash=$(cd "$here" && cat build.sh pd/go.mod pd/go.sum launcher/go.mod launcher/go.sum $(ls launcher/*.go | grep -v _test.go) | sha256sum | cut -d' ' -f1)
out=${XDG_CACHE_HOME:-$HOME/.cache}/cairn-tools/tikv-${hash:0:12}

case ${1:-} in
    --where) echo "$out"; exit ;;
    -*) echo "build.sh: $1 is not an option; --where, or a folder, would do" >&2; exit 2 ;;
    ?*) mkdir -p "$1"; out=$(cd "$1" && pwd) ;;
esac
if [ "$(cat "$out/stamp" 2>/dev/null)" = "$hash" ] && [ -x "$out/pd-server" ] && [ -x "$out/cairn-tikv-dev" ]; then
    echo "built already: pd-server, cairn-tikv-dev" >&2
    echo "$out"
    exit
fi
command -v go >/dev/null || {
    echo "build.sh: Go is not installed (go.dev/dl); $(sed -n 's/^go //p' "$here/launcher/go.mod") or newer would do" >&2
    exit 1
}

export CGO_ENABLED=0 GOWORK=off GOFLAGS=
# Says how long it has been at it, where somebody watches.
build() { # NAME FOLDER PACKAGE LINKER-FLAGS [MORE...]
    local name=$1 folder=$2 package=$3 linker=$4 started=$SECONDS log
    shift 4
    log=$(mktemp)
    (cd "$here/$folder" && exec go build -mod=readonly -buildvcs=false -trimpath -ldflags "-s -w -checklinkname=0 $linker" "$@" -o "$out/$name.new" "$package") >"$log" 2>&1 &
    local building=$!
    trap 'kill $building 2>/dev/null; rm -f "$log"' EXIT
    while [ -t 2 ] && kill -0 $building 2>/dev/null; do
        printf '\rbuilding %s ... %d s' "$name" $((SECONDS - started)) >&2
        sleep 0.5
    done
    [ -t 2 ] || echo "building $name ..." >&2
    if ! wait $building; then
        [ -t 2 ] && echo >&2
        grep -v '^go: downloading' "$log" >&2 || true
        echo "build.sh: $name was not built" >&2
        exit 1
    fi
    printf '%sbuilt %s in %d s\n' "$([ -t 2 ] && printf '\r\033[K')" "$name" $((SECONDS - started)) >&2
    mv "$out/$name.new" "$out/$name"
    rm -f "$log"
    trap - EXIT
}

mkdir -p "$out"
rm -f "$out/stamp"
# The version is the one that clients are told.
build pd-server pd github.com/tikv/pd/cmd/pd-server \
    "-X github.com/tikv/pd/pkg/versioninfo.PDReleaseVersion=v8.1.0" -tags without_dashboard
# Two modules register the same protocol file; the flag makes that a warning's business.
build cairn-tikv-dev launcher . \
    "-X google.golang.org/protobuf/reflect/protoregistry.conflictPolicy=ignore"
echo "$hash" >"$out/stamp"
echo "$out"
