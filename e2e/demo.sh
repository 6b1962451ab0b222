#!/usr/bin/env bash
# The story of a federation of four, told with the cairn command. On a terminal it stays up until Ctrl-C.
# Usage: demo.sh PATH/TO/cairn
# BACKEND=tikv keeps log and state in TiKV (PD and three stores of its own), and kills a store too.
set -euo pipefail
cairn=$(realpath "$1")
base=${BASE_PORT:-9984}
backend=${BACKEND:-embedded}
work=$(mktemp -d)
data=$work/federation
federation=
returned=
touch "$work/dev.log"

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' cyan=$'\e[36m' red=$'\e[31m' plain=$'\e[0m'
else
  bold='' dim='' green='' cyan='' red='' plain=''
fi
chapter() { printf '\n%s%s%s\n' "$bold$cyan" "$*" "$plain"; }
say() { printf '  %s\n' "$*"; }
good() { printf '  %s✔%s %s\n' "$green" "$plain" "$*"; }
run() { printf '  %s$ cairn %s%s\n' "$dim" "$*" "$plain"; }
fail() { printf '\n%s✘ %s%s\n' "$red" "$*" "$plain" >&2; exit 1; }

finish() {
  status=$?
  trap - EXIT INT TERM
  for process in $returned $federation; do
    kill -TERM "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
  case $status in
    0 | 130 | 143) ;;
    *) echo "the federation said:" && tail -n 20 "$work/dev.log" ;;
  esac >&2
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

url() { echo "http://127.0.0.1:$((base + 10 * $1))"; }
# One field of a flat JSON answer.
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\)\"\{0,1\}.*/\1/p" | head -n 1; }
height() { "$cairn" --output json status --url "$(url "$1")" 2>/dev/null | field height; }
# Waits until validator $1 has height $2.
reaches() {
  for _ in $(seq 300); do
    now=$(height "$1" || true)
    [ -n "$now" ] && [ "$now" -ge "$2" ] && return 0
    sleep 0.1
  done
  return 1
}

chapter "Four organisations start a ledger together"
case $backend in
  embedded) kinds=() ;;
  tikv) kinds=(--order tikv --store tikv) && say "PD and three TiKV stores come first, which takes some seconds" ;;
  *) fail "BACKEND=$backend: embedded or tikv would be fine" ;;
esac
"$cairn" dev --data "$data" --base-port "$base" "${kinds[@]}" >"$work/dev.log" 2>&1 &
federation=$!
until grep -qx ready "$work/dev.log"; do
  kill -0 "$federation" 2>/dev/null || fail "the federation did not start"
  sleep 0.1
done
sed -e '/^ready$/d' -e 's/^/  /' "$work/dev.log"
good "four validators run, each with its own key, its own disk, its own copy"

chapter "Alice makes an asset"
"$cairn" key new --out "$work/alice.key" >/dev/null
"$cairn" key new --out "$work/bob.key" >/dev/null
"$cairn" key new --out "$work/carol.key" >/dev/null
public() { "$cairn" --output json key show "$1" | field public_key; }
bob=$(public "$work/bob.key")
carol=$(public "$work/carol.key")
run "asset create --key alice.key --data '{\"bicycle\": {\"serial\": \"CAIRN-001\"}}'"
asset=$("$cairn" --output json asset create --url "$(url 0)" --key "$work/alice.key" \
  --data '{"bicycle": {"serial": "CAIRN-001"}}' | field asset_id)
[ -n "$asset" ] || fail "no asset was made"
good "decided by the federation: asset ${asset:0:16}…"

chapter "Alice gives it to Bob"
run "asset transfer --key alice.key --asset ${asset:0:8}… --to bob"
transfer=$("$cairn" --output json asset transfer --url "$(url 0)" --key "$work/alice.key" \
  --asset "$asset" --to "$bob" | field transaction_id)
[ -n "$transfer" ] || fail "the transfer was not committed"
good "committed: transaction ${transfer:0:16}…"

chapter "Alice tries to give it to Carol as well"
run "asset transfer --key alice.key --spend ${asset:0:8}…:0 --to carol"
if refused=$("$cairn" asset transfer --url "$(url 1)" --key "$work/alice.key" \
  --asset "$asset" --spend "$asset:0" --to "$carol" 2>&1); then
  fail "the double spend was accepted"
fi
case $refused in *"already spent"*) good "refused, and everyone is told the same reason:" ;; *) fail "refused for another reason: $refused" ;; esac
say "  ${refused#*: }"

chapter "Another validator has the same asset"
reaches 3 2 || fail "validator-3 did not reach height 2"
run "asset show ${asset:0:8}… --url $(url 3)"
"$cairn" asset show "$asset" --url "$(url 3)" | sed 's/^/  /'
good "read from validator-3, which was not asked before"

chapter "One validator is killed (SIGKILL); three of four go on"
kill -KILL "$(cat "$data/validator-2/pid")"
for n in 1 2 3; do
  "$cairn" --output json asset create --url "$(url 0)" --key "$work/alice.key" --data "{\"while_one_is_down\": $n}" >/dev/null \
    || fail "no commit with three of four"
done
goal=$(height 0)
good "three more assets committed, the chain is at height $goal"

chapter "It comes back and catches up, without help"
"$cairn" node --config "$data/validator-2/cairn.toml" >"$work/validator-2.log" 2>&1 &
returned=$!
reaches 2 "$goal" || { cat "$work/validator-2.log" >&2; fail "validator-2 did not catch up"; }
good "validator-2 is at height $(height 2) again"

if [ "$backend" = tikv ]; then
  chapter "A TiKV store is killed (SIGKILL); two of three hold everything"
  store=$(tr -d '\n' <"$data/tikv/state.json" | tr '{' '\n' | grep '"store-2"' | grep -o '"pid": *[0-9]*' | grep -o '[0-9]*')
  kill -KILL "$store"
  for n in 1 2 3; do
    "$cairn" --output json asset create --url "$(url "$n")" --key "$work/alice.key" --data "{\"while_a_store_is_down\": $n}" >/dev/null \
      || fail "no commit with two of three stores"
  done
  "$cairn" asset show "$asset" --url "$(url 1)" >/dev/null || fail "the asset cannot be read with two of three stores"
  good "three more assets committed, and the first one is still Bob's: nothing is lost"
fi

chapter "A receipt proves the transfer to anyone, offline"
"$cairn" asset receipt "$transfer" --url "$(url 0)" >"$work/receipt.json"
run "verify receipt receipt.json --genesis genesis.json"
"$cairn" verify receipt "$work/receipt.json" --genesis "$data/genesis.json" | sed 's/^/  /'
sed 's/CREATE\|TRANSFER/TRANSFEX/' "$work/receipt.json" >"$work/forged.json"
cmp -s "$work/receipt.json" "$work/forged.json" && fail "the forgery changed nothing"
if forged=$("$cairn" verify receipt "$work/forged.json" --genesis "$data/genesis.json" 2>&1); then
  fail "a forged receipt was believed"
fi
case $forged in *"proves nothing"*) ;; *) fail "the forged receipt failed for another reason: $forged" ;; esac
good "and a receipt with one letter changed is refused"

chapter "That was Cairn"
for i in 0 1 2 3; do say "validator-$i  $(url "$i")/api/v1"; done
if [ -t 1 ]; then
  say "It stays up for you to try. Ctrl-C ends it."
  trap 'exit 0' INT
  wait "$federation" || true
fi
