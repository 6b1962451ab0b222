#!/usr/bin/env bash
# `make test-cluster`: a cluster of cluster.sh leaves nothing behind, whatever was killed before it was ended.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

if ! ./cluster.sh check 1; then
  [ "${CI:-}" != true ] || exit 1
  echo "SKIPPED, not tested: that a cluster leaves nothing behind, because this machine cannot have one" >&2
  exit 0
fi
before=$(mktemp)
trap 'trap - EXIT; ./cluster.sh down; rm -f "$before"' EXIT
trap 'exit 130' INT TERM
./traces.py >"$before"

# A pod, with a volume that is a file system on a loop device.
run_a_pod() {
  ./cluster.sh up 1
  eval "$(./cluster.sh env)"
  kubectl apply -f - <<'YAML' >/dev/null
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: volume}
spec: {accessModes: [ReadWriteOnce], storageClassName: sized, resources: {requests: {storage: 64Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: idler}
spec:
  containers: [{name: idler, image: "cairn.local/pause:1", volumeMounts: [{name: volume, mountPath: /volume}]}]
  volumes: [{name: volume, persistentVolumeClaim: {claimName: volume}}]
YAML
  kubectl wait pod/idler --for=condition=Ready --timeout=90s >/dev/null
  # What would be found if it were left: else this test proves nothing.
  ! cmp -s "$before" <(./traces.py) || {
    echo "a cluster runs, and traces.py sees nothing of it" >&2
    exit 1
  }
}
leaves_nothing() { # AFTER-WHAT
  ./cluster.sh down
  ./traces.py "$before"
  echo "leaves nothing behind $1"
}
# The first processes of boxes, by their names.
kill_boxes() {
  local box process
  for box; do
    read -r process _ <"$(./cluster.sh where)/box/$box/first"
    kill -KILL "$process"
  done
}

run_a_pod
leaves_nothing "with a pod on it"
run_a_pod
kill_boxes n1
leaves_nothing "when a node was killed"
run_a_pod
kill_boxes cp n1
leaves_nothing "when everything was killed"
./cluster.sh up 1 >/dev/null 2>&1 &
starting=$!
until grep -qs . "$(./cluster.sh where)/box/n1/first"; do sleep 0.05; done
kill -KILL $starting
wait $starting || true
leaves_nothing "when it was killed at birth"
