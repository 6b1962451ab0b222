#!/usr/bin/env bash
# `make e2e`: plays the stories of cairn-stories on a Kubernetes.
#
# On the cluster of `make cluster` when that runs, which then stays; otherwise on one of its own, which goes
# when the stories are over, or are interrupted, and then nothing may be left of it (traces.py).
#
# STORY=...         plays those whose names begin so, instead of all
# TIMES=3           plays them so often
# AT_ONCE=3         plays so many side by side, as far as they do not disturb each other
# REPORT=FILE       writes the table, as Markdown: docs/e2e.md
# KEEP=1            lets the cluster run on, for a look at what happened
# CLUSTER=existing  plays on the cluster of the current kubeconfig; stories that break nodes are skipped there
# NODES, PROFILE, REGISTRY as for `make cluster` (install.sh)
#
# On a machine that cannot have a cluster nothing is tested, which is said; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
scripts=e2e/kubernetes
whose=${CLUSTER:-own}
profile=${PROFILE:-release}
begun=$SECONDS
work=$(mktemp -d)
stories=
fresh=

finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM
  if [ -n "$stories" ]; then
    kill -TERM "$stories" 2>/dev/null || true
    wait "$stories" 2>/dev/null || true
  fi
  if [ -n "$fresh" ] && [ -n "${KEEP:-}" ]; then
    echo "the cluster runs on: \`make cluster-down\` ends it"
  elif [ -n "$fresh" ]; then
    echo "ending the cluster ..."
    "$scripts/cluster.sh" down || status=1
    "$scripts/traces.py" "$work/before" || status=1
  fi
  rm -rf "$work"
  echo "make e2e: $([ "$status" = 0 ] && echo "all went well" || echo "failed") after $((SECONDS - begun)) s"
  exit "$status"
}

if [ "$whose" = own ]; then
  if [ "${CI:-}" = true ]; then "$scripts/packages.sh" --install; fi
  if ! "$scripts/cluster.sh" exec cp true >/dev/null 2>&1 && ! "$scripts/cluster.sh" check "${NODES:-3}"; then
    [ "${CI:-}" != true ] || exit 1
    echo "SKIPPED, not tested: the stories on a real Kubernetes, because this machine cannot have one" >&2
    exit 0
  fi
fi
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What the stories upgrade to, and what TiKV runs as: images beside those of the operator.
give_more_images() {
  local images=${CARGO_TARGET_DIR:-target}/images tag image
  for image in cairn cairn-operator; do
    tag=$(kubectl --namespace cairn-system get deployment cairn-operator --output json | python3 -c '
import json, sys
container = json.load(sys.stdin)["spec"]["template"]["spec"]["containers"][0]
validators = [argument.split("=", 1)[1] for argument in container["args"] if argument.startswith("--default-image=")]
print(validators[0] if sys.argv[1] == "cairn" else container["image"])' "$image")
    "$scripts/variant.py" "$images/$image.tar" "$tag-next" "$work/$image-next.tar"
    [ "$image" != cairn ] || "$scripts/variant.py" "$images/$image.tar" "$tag-broken" "$work/$image-broken.tar" CAIRN_ORDER=none
  done
  e2e/tikv/images.sh "$work"
  "$scripts/cluster.sh" load "$work"/*.tar
}

# First, as this is the likeliest to fail.
make --no-print-directory stories-build PROFILE="$profile"
if [ "$whose" = own ] && ! "$scripts/cluster.sh" exec cp true >/dev/null 2>&1; then
  # Whatever an earlier one left that was killed.
  "$scripts/cluster.sh" down
  "$scripts/traces.py" >"$work/before"
  fresh=1
fi
"$scripts/install.sh" operator
if [ "$whose" = own ]; then
  eval "$("$scripts/cluster.sh" env)"
  export CAIRN_CLUSTER_SCRIPT=$PWD/$scripts/cluster.sh
  give_more_images
fi

# shellcheck disable=SC2086 # names of stories, with blanks between
"${CARGO_TARGET_DIR:-target}/$profile/cairn-stories" ${STORY:-} --times "${TIMES:-1}" --at-once "${AT_ONCE:-1}" ${REPORT:+--report "$REPORT"} &
stories=$!
status=0
wait "$stories" || status=$?
stories=
exit "$status"
