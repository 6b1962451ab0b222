# To be sourced by scripts that need a federation of four: `start_federation PORT` runs $cairn until the script ends.
# It sets $data, a directory of the script's own, and returns when the federation is ready.

start_federation() {
  data=$(mktemp -d)
  local log="$data/dev.log"
  touch "$log"
  "$cairn" dev --data "$data/federation" --base-port "$1" >"$log" 2>&1 &
  federation=$!
  trap end_federation EXIT
  until grep -qx ready "$log"; do
    kill -0 "$federation" 2>/dev/null || { cat "$log"; exit 1; }
    sleep 0.1
  done
}

end_federation() {
  kill -TERM "$federation" 2>/dev/null || true
  wait "$federation" 2>/dev/null || true
  rm -rf "$data"
}

# The URLs of its API, with commas between.
federation_urls() {
  for i in 0 1 2 3; do printf 'http://127.0.0.1:%s,' $(($1 + 10 * i)); done | sed 's/,$//'
}
