#!/usr/bin/env bash
# Starts a federation of four with something in it, and checks with schemathesis that API v2 does
# what its OpenAPI document says, asked properly and improperly.
# Usage: run.sh PATH/TO/cairn
set -euo pipefail
cairn=$(realpath "$1")
cd "$(dirname "$0")"

tools=${XDG_CACHE_HOME:-$HOME/.cache}/cairn-tools/openapi-$(sha256sum requirements.txt | cut -c 1-12)
if [ ! -e "$tools/whole" ]; then
  echo "installing schemathesis into $tools (once) ..."
  rm -rf "$tools"
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
  touch "$tools/whole"
fi

source ../federation.sh
port=${BASE_PORT:-26984}
start_federation "$port"
url=http://127.0.0.1:$port

new_key() {
  "$cairn" key new --out "$data/$1.key" --output json | sed -n 's/.*"public_key": *"\([^"]*\)".*/\1/p'
}
ids() { grep -o '[0-9a-f]\{64\}' | sort -u; }

# Of the assets, keys and heights that are guessed, some are there.
new_key alice >"$data/keys"
bob=$(new_key bob)
echo "$bob" >>"$data/keys"
for number in 1 2 3; do
  asset=$("$cairn" asset create --url "$url" --key "$data/alice.key" --output json \
    --data "{\"kind\": \"car\", \"number\": $number, \"tags\": [\"a\", \"ü\"]}" | ids)
  echo "$asset" >>"$data/transactions"
done
"$cairn" asset transfer --url "$url" --key "$data/alice.key" --asset "$asset" --to "$bob" \
  --output json | ids >>"$data/transactions"

sed -i 's/.*/"&"/' "$data/transactions" "$data/keys"
cp schemathesis.toml "$data"
# What it remembers from run to run it keeps where it runs.
(cd "$data" && "$tools/bin/st" --no-color run "$url/api/v2/openapi.json" \
  --exclude-path /api/v2/stream) # it does not end
"$cairn" status --url "$url" >/dev/null
echo "the API does what its document says"
