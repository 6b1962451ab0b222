#!/usr/bin/env bash
# Draws the dashboards over two federations and two operators in use, into docs/images: pictures.sh FOLDER, which has
# cairn and cairn-load. One validator is killed and comes back meanwhile. MINUTES (10) is how long is watched; it needs
# chromium, and python3 to serve the files.
set -euo pipefail
programs=$(realpath "$1")
source "$(dirname "$0")/world.sh"
root=$(realpath "$here/../..")
minutes=${MINUTES:-10}
port=${BASE_PORT:-27984}
browser=$(command -v chromium-headless-shell || command -v chromium || command -v google-chrome) || {
  echo "no pictures: chromium is not installed" >&2
  exit 75
}

need_prometheus
start_world "$port" production/orders production/assets
python3 -m http.server --bind 127.0.0.1 --directory "$root" $((port + 90)) >"$work/files.log" 2>&1 &
processes+=("$!")

echo "watching for $minutes minutes ..."
sleep $((minutes * 36))
kill -KILL "$(cat "$work/federation-1/validator-2/pid")"
sleep 40
"$programs/cairn" node --config "$work/federation-1/validator-2/cairn.toml" >"$work/validator-2.log" 2>&1 &
processes+=("$!")
sleep $((minutes * 24 - 40))

files=http://127.0.0.1:$((port + 90))
browse() { # HEIGHT OPTION URL
  "$browser" --headless --no-sandbox --hide-scrollbars --force-device-scale-factor=1 --window-size="1600,$1" \
    --virtual-time-budget=60000 "$2" "$3" 2>"$work/browser.log" || { cat "$work/browser.log" >&2; exit 1; }
}
picture() { # FILE DASHBOARD [MORE]
  local page="$files/e2e/monitoring/render.html?dashboard=/dashboards/$2.json&prometheus=$prometheus&minutes=$minutes&${3:-}" height
  # The page's title is how high it is.
  height=$(browse 1000 --dump-dom "$page" | sed -n 's/.*<title>\([0-9]*\)<.*/\1/p')
  [ -n "$height" ] || { echo "$1 was not drawn: $page" >&2; exit 1; }
  browse "$height" --screenshot="$root/docs/images/$1.png" "$page"
}
mkdir -p "$root/docs/images"
picture dashboard-cluster cairn-cluster 'rows=Overview&cluster=orders'
picture dashboard-cluster-consensus cairn-cluster 'rows=Consensus&cluster=orders'
picture dashboard-fleet cairn-fleet
picture dashboard-operator cairn-operator
ls -l "$root"/docs/images/dashboard-*.png
# Another look, with a browser of one's own or another picture: until Enter.
if [ -t 0 ] || [ -n "${HOLD:-}" ]; then
  echo "$files/e2e/monitoring/render.html?dashboard=/dashboards/cairn-cluster.json&prometheus=$prometheus"
  read -r _ || true
fi
