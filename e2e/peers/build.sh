#!/usr/bin/env bash
# build.sh [PROGRAM...]   builds etcd, cometbft and cairn-peers, or those named, from their pinned Go modules
# build.sh --where        prints the folder that they are built into, and builds nothing
#
# About 3 minutes on two cores the first time (Go's own cache keeps modules and objects), nothing where they are built
# already. The last line of its output is the folder.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kubernetes=$here/../kubernetes
out=${XDG_CACHE_HOME:-$HOME/.cache}/cairn-tools/peers

programs=()
for argument; do
    case $argument in
        --where) echo "$out"; exit ;;
        etcd | cometbft | cairn-peers) programs+=("$argument") ;;
        *) echo "build.sh: $argument is not a program; etcd, cometbft, cairn-peers, or --where, would do" >&2; exit 2 ;;
    esac
done
[ ${#programs[@]} -gt 0 ] || programs=(etcd cometbft cairn-peers)

# What a program is built from; etcd is the one that clusters of the tests have.
sources() { # PROGRAM
    case $1 in
        etcd) cat "$kubernetes"/etcd/go.{mod,sum} ;;
        cometbft) cat "$here"/go.{mod,sum} ;;
        cairn-peers) cat "$here"/go.{mod,sum} "$here"/*.go ;;
    esac
}
export CGO_ENABLED=0 GOWORK=off GOFLAGS=
build() { # PROGRAM OUT
    local folder=$here package=.
    case $1 in
        etcd) folder=$kubernetes/etcd package=go.etcd.io/etcd/server/v3 ;;
        cometbft) package=github.com/cometbft/cometbft/cmd/cometbft ;;
    esac
    (cd "$folder" && exec go build -mod=readonly -buildvcs=false -trimpath -ldflags "-s -w" -o "$2" "$package")
}

mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in "${programs[@]}"; do
    hash=$(sources "$program" | sha256sum | cut -d' ' -f1)
    [ -x "$out/$program" ] && [ "$(cat "$out/$program.stamp" 2>/dev/null)" = "$hash" ] && continue
    command -v go >/dev/null || {
        echo "build.sh: Go is not installed (go.dev/dl); $(sed -n 's/^go //p' "$here/go.mod") or newer would do" >&2
        exit 75
    }
    echo "building $program ..." >&2
    started=$SECONDS
    build "$program" "$work/$program" >"$work/log" 2>&1 || {
        grep -v '^go: downloading' "$work/log" >&2 || true
        echo "build.sh: $program: not built" >&2
        exit 1
    }
    mv "$work/$program" "$out/$program"
    echo "$hash" >"$out/$program.stamp"
    echo "built $program in $((SECONDS - started)) s" >&2
done
echo "$out"
