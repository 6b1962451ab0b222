#!/usr/bin/env bash
# What else could keep the same bytes on this machine: etcd, PostgreSQL and CometBFT, each as durable as it goes,
# under the load of cairn-peers (main.go). `--help` says the rest.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'END'
run.sh [--seconds N] [--bytes N] [--what TEXT] [etcd] [postgresql] [cometbft]

Measures what Cairn is compared with, one peer after the other, all of them unless some are named:

  etcd         three members; single puts, and transactions of 100 puts, to the leader
  postgresql   one server; inserts of one row and of 100 rows a transaction, whose signatures the client verifies
  cometbft     four validators with the kvstore that is part of it; 100 transactions and one a request, counted in the
               blocks of another validator; with CometBFT's own second between blocks, and with none

  --seconds N  how long to measure each, after 3 seconds that do not count; 10
  --bytes N    of a value, a row's body, a transaction; 1100, a TRANSFER's
  --what TEXT  measure only what has this in its name, such as 100

One JSON object a line on standard output, progress on standard error:

  {"peer":"etcd","what":"single puts, one a request","per_second":…,"p50_ms":…,"p99_ms":…,"clients":…,"bytes":…,…}
  {"peer":"postgresql","skipped":"why"}

Servers listen on 127.0.0.1 from port BASE_PORT (26400) on, and sync what they acknowledge to a disk: in a folder of
TMPDIR (/var/tmp), which is removed afterwards. Programs are built or fetched into the cache the first time (build.sh,
postgresql.sh; Go is needed, some minutes); what cannot be had is skipped. Ends with 1 where a measurement failed.
END
}

seconds=10 bytes=1100 what="" peers=()
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage; exit ;;
        --seconds | --bytes | --what)
            [ $# -gt 1 ] || { echo "run.sh: $1 needs a value" >&2; exit 2; }
            case $1 in --seconds) seconds=$2 ;; --bytes) bytes=$2 ;; --what) what=$2 ;; esac
            shift 2
            ;;
        etcd | postgresql | cometbft) peers+=("$1"); shift ;;
        *) echo "run.sh: $1 is not a peer; etcd, postgresql, cometbft, or --help, would do" >&2; exit 2 ;;
    esac
done
[ ${#peers[@]} -gt 0 ] || peers=(etcd postgresql cometbft)

port=${BASE_PORT:-26400}
data=$(mktemp -d -p "${TMPDIR:-/var/tmp}" cairn-peers.XXXXXX)
servers=()
stop() {
    local process
    # Nothing that they have is needed any more; PostgreSQL would wait for clients at a TERM.
    for process in ${servers[@]+"${servers[@]}"}; do kill -INT "$process" 2>/dev/null || true; done
    for process in ${servers[@]+"${servers[@]}"}; do
        for _ in {1..100}; do kill -0 "$process" 2>/dev/null || break; sleep 0.1; done
        kill -KILL "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    servers=()
    rm -rf "${data:?}"/*
}
# The exit of a signal runs the one of EXIT.
trap 'stop; rm -rf "$data"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
case $(stat --file-system --format %T "$data") in
    tmpfs | ramfs)
        echo "run.sh: ${TMPDIR:-/var/tmp} is in memory, where a sync costs nothing: set TMPDIR to a folder on a disk" >&2
        exit 2
        ;;
esac

failed=0
skip() { # PEER WHY
    echo "$1: $2" >&2
    printf '{"peer":"%s","skipped":"%s"}\n' "$1" "$(tr -d '\\"' <<<"$2" | tr '\n' ' ' | sed 's/ *$//')"
}
# The folder of a program that build.sh makes; says why there is none.
need() { # PEER PROGRAM...
    local peer=$1 why
    shift
    if ! tools=$("$here/build.sh" "$@" 2> >(tee "$data/why" >&2) | tail -n 1); then
        why=$(tail -n 1 "$data/why")
        skip "$peer" "${why:-$* could not be built}"
        return 1
    fi
}
start() { # NAME COMMAND...
    local name=$1
    shift
    # In a session of its own: a Ctrl-C is this script's, which stops it when nobody asks it anything any more.
    setsid "$@" </dev/null >"$data/$name.log" 2>&1 &
    servers+=($!)
}
# Puts the load on, and shows what the servers had to say where that failed.
load() { # PEER AT NOTE
    echo "$1, $seconds s each, $3:" >&2
    # Behind, so that a signal is heard at once.
    "$tools/cairn-peers" "$1" --at "$2" --note "$3" --seconds "$seconds" --bytes "$bytes" --only "$what" &
    servers+=($!)
    wait $! && return
    tail -n 3 "$data"/*.log >&2
    skip "$1" "the measurement failed, as standard error says"
    failed=1
}

etcd() {
    need etcd etcd cairn-peers || return 0
    local member cluster="" at=""
    for member in 1 2 3; do
        cluster+=${cluster:+,}m$member=http://127.0.0.1:$((port + 10 + member))
        at+=${at:+,}127.0.0.1:$((port + member))
    done
    for member in 1 2 3; do
        start "etcd-$member" "$tools/etcd" --name "m$member" --data-dir "$data/etcd-$member" --log-level error \
            --listen-client-urls "http://127.0.0.1:$((port + member))" \
            --advertise-client-urls "http://127.0.0.1:$((port + member))" \
            --listen-peer-urls "http://127.0.0.1:$((port + 10 + member))" \
            --initial-advertise-peer-urls "http://127.0.0.1:$((port + 10 + member))" \
            --initial-cluster "$cluster" --quota-backend-bytes $((8 << 30))
    done
    load etcd "$at" "as it comes, every entry synced"
}

postgresql() {
    need postgresql cairn-peers || return 0
    local programs why
    if ! programs=$("$here/postgresql.sh" 2>"$data/why"); then
        why=$(tail -n 1 "$data/why")
        skip postgresql "$why"
        return
    fi
    mkdir "$data/postgresql"
    local as=()
    if [ "$(id -u)" = 0 ]; then
        # It refuses to run as root.
        as=(setpriv --reuid=nobody --regid="$(id -gn nobody)" --clear-groups)
        chmod 711 "$data"
        chown nobody "$data/postgresql"
        if ! "${as[@]}" test -x "$programs/postgres"; then
            # What was unpacked into root's cache is not everyone's to read.
            cp -r "${programs%/usr/lib/postgresql/*}/usr" "$data/usr"
            programs=$data/usr/lib/${programs##*/usr/lib/}
        fi
    fi
    case $programs in
        # The loader looks there by itself.
        /usr/*) ;;
        */usr/lib/postgresql/*)
            as+=(env "LD_LIBRARY_PATH=$(find "${programs%/postgresql/*}" -maxdepth 1 -name '*-linux-gnu' | head -n 1)")
            ;;
    esac
    (cd "$data/postgresql" && ${as[@]+"${as[@]}"} "$programs/initdb" --pgdata "$data/postgresql/data" --username cairn \
        --auth trust --encoding UTF8 --no-locale >"$data/initdb.log" 2>&1) || {
        skip postgresql "initdb failed: $(tail -n 1 "$data/initdb.log")"
        failed=1
        return
    }
    # Durable as it comes; only room: memory, and log between checkpoints.
    start postgresql ${as[@]+"${as[@]}"} "$programs/postgres" -D "$data/postgresql/data" -p $((port + 21)) \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200 \
        -c fsync=on -c synchronous_commit=on -c full_page_writes=on \
        -c shared_buffers=1GB -c max_wal_size=8GB
    load postgresql "postgres://cairn@127.0.0.1:$((port + 21))/postgres?sslmode=disable" \
        "fsync and synchronous_commit on, shared_buffers 1 GB, max_wal_size 8 GB"
}

cometbft() {
    need cometbft cometbft cairn-peers || return 0
    federation "times between blocks as they come, timeout_commit 1 s" || return 0
    stop
    federation "timeout_commit 0, gossip and flush within 10 ms" \
        timeout_commit '"0s"' peer_gossip_sleep_duration '"10ms"' flush_throttle_timeout '"10ms"'
}
# Four new validators, set as said; else as they come, with room for the load and without what nobody asks for.
federation() { # NOTE [NAME VALUE]...
    local note=$1 home number at="" others=""
    shift
    "$tools/cometbft" testnet --v 4 --o "$data/cometbft" --populate-persistent-peers=false >"$data/testnet.log" 2>&1
    for number in 0 1 2 3; do
        others+=${others:+,}$("$tools/cometbft" show-node-id --home "$data/cometbft/node$number")@127.0.0.1:$((port + 31 + number))
        at+=${at:+,}127.0.0.1:$((port + 41 + number))
    done
    for number in 0 1 2 3; do
        home=$data/cometbft/node$number
        set_in "$home/config/config.toml" \
            log_level '"error"' proxy_app '"persistent_kvstore"' persistent_peers "\"$others\"" pex false \
            max_request_batch_size 100 max_open_connections 2000 send_rate 1000000000 recv_rate 1000000000 \
            size 100000 cache_size 200000 recheck false indexer '"null"' discard_abci_responses true "$@" || {
            skip cometbft "its configuration has other names than expected"
            failed=1
            return 1
        }
        start "cometbft-$number" "$tools/cometbft" start --home "$home" \
            --p2p.laddr "tcp://127.0.0.1:$((port + 31 + number))" --rpc.laddr "tcp://127.0.0.1:$((port + 41 + number))"
    done
    load cometbft "$at" "$note; no recheck, no index, room in the pool for 100000"
}
set_in() { # FILE NAME VALUE...
    local file=$1
    shift
    while [ $# -gt 0 ]; do
        grep -q "^$1 = " "$file" || { echo "run.sh: CometBFT's configuration has no $1" >&2; return 1; }
        sed -i "s|^$1 = .*|$1 = $2|" "$file"
        shift 2
    done
}

for peer in "${peers[@]}"; do
    case $peer in
        etcd) etcd ;;
        postgresql) postgresql ;;
        cometbft) cometbft ;;
    esac
    stop
done
exit $failed
