# To be sourced by scripts that watch: `start_world PORT` starts federations in use, operators where there is a Kubernetes
# API for them, and a Prometheus that reads all of it once a second. All of it ends with the script.
#
# Before: $programs has cairn and cairn-load; $TEST is how cargo runs tests.
# After:  $work is the script's own folder, $prometheus the URL of Prometheus; $operators is not empty where there are operators.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${TEST:=cargo test --workspace --locked --features cairn-node/tikv}"

# Without Prometheus there is nothing to watch with.
need_prometheus() {
  prometheus_program=$("$here/prometheus.sh") && return
  if [ "${CI:-}" = true ]; then
    echo "not tested, and continuous integration must: what the dashboards ask, because there is no Prometheus" >&2
    exit 1
  fi
  echo "SKIPPED, not tested: what the dashboards ask, because there is no Prometheus here" >&2
  exit 0
}

processes=()
# What keeps standard inputs open, the last of them that of the operators.
held=
operators=
start_world() { # PORT [NAMESPACE/CLUSTER...]
  local port=$1 base name names=("${@:2}") number=0
  [ ${#names[@]} -gt 0 ] || names=(dev/dev)
  work=$(mktemp -d)
  trap end_world EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  local jobs=''
  for name in "${names[@]}"; do
    base=$((port + 40 * number))
    number=$((number + 1))
    start_federation "$base" "$work/federation-$number"
    jobs+=$(of_federation "$work/federation-$number/prometheus.json" "${name%/*}" "${name#*/}")$'\n'
  done
  start_operators
  start_prometheus $((port + 40 * number)) "$jobs"
}

start_federation() { # PORT FOLDER
  local log=$2.log rate=${RATE:-40}
  touch "$log"
  "$programs/cairn" dev --data "$2" --base-port "$1" >"$log" 2>&1 &
  local federation=$!
  processes+=("$federation")
  until grep -qx ready "$log"; do
    kill -0 "$federation" 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.1
  done
  # Each with less to do than the one before.
  mkfifo "$2.fifo"
  "$programs/cairn-load" --rate $((rate / number)) \
    "127.0.0.1:$1" "127.0.0.1:$(($1 + 10))" "127.0.0.1:$(($1 + 20))" "127.0.0.1:$(($1 + 30))" <"$2.fifo" >"$2.load" 2>&1 &
  processes+=("$!")
  exec {held}>"$2.fifo"
}

of_federation() { # FILE NAMESPACE CLUSTER
  cat <<END
  - job_name: $3
    file_sd_configs: [{files: [$1]}]
    relabel_configs:
      - {target_label: job, replacement: cairn}
      - {target_label: namespace, replacement: $2}
      - {target_label: cairndb_io_cluster, replacement: $3}
END
}

# Two operators, on a Kubernetes API without nodes: operator/tests/kubernetes/watched.rs.
start_operators() {
  [ -e "$("$here/../kubernetes/build.sh" --where)/stamp" ] || {
    echo "there are no operators to watch: the Kubernetes programs are not built (make kubernetes-build)" >&2
    [ "${CI:-}" != true ] || exit 1
    return 0
  }
  mkfifo "$work/operators.fifo"
  CAIRN_TARGETS="$work/operators.json" $TEST --test kubernetes -- --ignored --exact watched::operators_with_something_to_do \
    <"$work/operators.fifo" >"$work/operators.log" 2>&1 &
  operators=$!
  exec {held}>"$work/operators.fifo"
  until [ -e "$work/operators.json" ]; do
    kill -0 "$operators" 2>/dev/null || { tail -n 40 "$work/operators.log" >&2; exit 1; }
    sleep 0.2
  done
}

start_prometheus() { # PORT JOBS
  cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
$2
  - job_name: cairn-operator
    file_sd_configs: [{files: [$work/operators.json]}]
END
  "$prometheus_program" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" \
    --web.listen-address="127.0.0.1:$1" --web.cors.origin='.*' --log.level=warn >"$work/prometheus.log" 2>&1 &
  local process=$!
  processes+=("$process")
  prometheus=http://127.0.0.1:$1
  until curl --silent --fail --output /dev/null "$prometheus/-/ready"; do
    kill -0 "$process" 2>/dev/null || { cat "$work/prometheus.log" >&2; exit 1; }
    sleep 0.1
  done
}

end_world() {
  local status=$? process
  trap - EXIT INT TERM
  for process in "${processes[@]}"; do kill -TERM "$process" 2>/dev/null || true; done
  for process in "${processes[@]}"; do wait "$process" 2>/dev/null || true; done
  # These end with their standard input, and take what they started with them.
  [ -z "$held" ] || exec {held}>&-
  [ -z "$operators" ] || wait "$operators" 2>/dev/null || true
  rm -rf "$work"
  exit "$status"
}
