#!/usr/bin/env bash
# `make cluster`: Cairn on a Kubernetes of some nodes on this machine, or on one that is there already.
#
#   install.sh up            cluster, images, charts, and the federation of examples/federation-of-four.yaml;
#                            once more: what was changed since
#   install.sh operator      all of that but the federation
#   install.sh down          ends the cluster; of one that is there already, only what was installed goes
#
# CLUSTER=existing         the cluster of the current kubeconfig, instead of one of its own (cluster.sh)
# REGISTRY=registry.example/you   where images are pushed to, for an existing cluster that cannot be given them
# NODES=5                  how many nodes a cluster of its own has, instead of three
# PROFILE=debug            builds that take less time to make, and more to run
#
# Images are what `make images` writes: this script calls it.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
scripts=e2e/kubernetes
whose=${CLUSTER:-own}
federation=examples/federation-of-four.yaml
archives=${CARGO_TARGET_DIR:-target}/images
repository=${REGISTRY:-ghcr.io/cairndb}
begun=$(date +%s)

step() { printf '\n%3d s  %s\n' $(($(date +%s) - begun)) "$*"; }
say() { printf '       %s\n' "$*"; }
die() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}
case $whose in own | existing) ;; *) die "CLUSTER=$whose: own or existing would do" ;; esac

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# A field of the first image in an archive: name, or digest.
of_image() { # FIELD ARCHIVE
  tar -xOf "$2" index.json | python3 -c 'import json, sys
for image in json.load(sys.stdin)["manifests"]:
    name = image.get("annotations", {}).get("io.containerd.image.name")
    if name:
        print({"name": name, "digest": image["digest"].removeprefix("sha256:")}[sys.argv[1]])
        break' "$1"
}
# On nodes of our own a changed image has another tag, so that what runs the old one is seen to.
tag_of() { # cairn|cairn-operator
  local digest=
  [ "$whose" = existing ] || digest=-$(of_image digest "$archives/$1.tar")
  echo "$version${digest:0:13}"
}

cluster_runs() { "$scripts/cluster.sh" exec cp true >/dev/null 2>&1; }

own_cluster() {
  if [ "${CI:-}" = true ]; then "$scripts/packages.sh" --install; fi
  "$scripts/cluster.sh" check "${NODES:-3}" || exit
  step "the programs of a cluster: etcd, API server, kubelet, CoreDNS, kubectl, helm, ... (16 minutes the first time)"
  "$scripts/build.sh" --nodes >/dev/null
  if cluster_runs; then
    step "the cluster runs already"
  else
    step "a cluster of ${NODES:-3} nodes"
    "$scripts/cluster.sh" down
    "$scripts/cluster.sh" up "${NODES:-3}"
  fi
  eval "$("$scripts/cluster.sh" env)"
}

existing_cluster() {
  command -v kubectl >/dev/null && command -v helm >/dev/null || die "kubectl and helm must be on the path"
  step "the cluster that kubectl knows as $(kubectl config current-context)"
  kubectl version 2>/dev/null | sed -n 's/^Server/       server/p' | grep . || die "its API server does not answer"
}

give_images() {
  local archive context
  step "the images get to the nodes"
  if [ "$whose" = own ]; then
    # All that there are: the stories want some more than the operator does.
    "$scripts/cluster.sh" load "$archives"/*.tar
    for archive in cairn cairn-operator; do
      "$scripts/cluster.sh" tag "$repository/$archive:$version" "$repository/$archive:$(tag_of "$archive")"
    done
    return
  fi
  context=$(kubectl config current-context)
  for archive in "$archives"/*.tar; do
    case $context in
      kind-*) kind load image-archive "$archive" --name "${context#kind-}" ;;
      k3d-*) k3d image import "$archive" --cluster "${context#k3d-}" ;;
      minikube) minikube image load "$archive" ;;
      *)
        if [ -n "${REGISTRY:-}" ]; then
          push "$archive"
        elif command -v k3s >/dev/null; then
          k3s ctr images import "$archive"
        else
          die "the nodes of $context cannot be given images from here: REGISTRY=registry.example/you pushes them where they can fetch them"
        fi
        ;;
    esac
  done
}

push() { # ARCHIVE
  command -v skopeo >/dev/null || die "skopeo is not installed, which pushes OCI archives: apt-get install skopeo, or the like"
  skopeo copy "oci-archive:$1" "docker://$(of_image name "$1")"
}

charts() {
  local there
  step "the charts: cairn-crds and cairn-operator"
  there=$(kubectl --namespace cairn-system get deployment cairn-operator --ignore-not-found --output name 2>/dev/null || true)
  helm upgrade --install cairn-crds charts/cairn-crds >/dev/null
  # Helm leaves CRDs' new versions to whoever upgrades; this chart has them among its templates.
  helm upgrade --install cairn-operator charts/cairn-operator --namespace cairn-system --create-namespace \
    --set "image.repository=$repository/cairn-operator" --set "image.tag=$(tag_of cairn-operator)" \
    --set "validatorImage.repository=$repository/cairn" --set "validatorImage.tag=$(tag_of cairn)" >/dev/null
  # The name says nothing about what is in it there.
  [ -z "$there" ] || [ "$whose" = own ] || kubectl --namespace cairn-system rollout restart deployment/cairn-operator
  kubectl --namespace cairn-system rollout status deployment/cairn-operator --timeout=180s >/dev/null || {
    kubectl --namespace cairn-system get pods,events
    die "the operator does not start"
  }
}

ready() { kubectl get bcc bikes --output 'jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.reason}: {.message}{end}' 2>/dev/null; }

apply_federation() {
  local now before='' there generation limit=$((SECONDS + 300))
  step "a federation of four: kubectl apply -f $federation"
  there=$(kubectl get bcc bikes --ignore-not-found --output name)
  kubectl apply -f $federation
  # One that runs keeps the image that it was made with, until it is told.
  if [ "$whose" = own ] && [ -n "$there" ]; then
    kubectl patch bcc bikes --type=merge \
      --patch "{\"spec\": {\"image\": {\"repository\": \"$repository/cairn\", \"tag\": \"$(tag_of cairn)\"}}}"
  fi
  generation=$(kubectl get bcc bikes --output 'jsonpath={.metadata.generation}')
  while :; do
    now=$(ready || true)
    if [ "$now" != "$before" ]; then say "$now"; fi
    before=$now
    case $now in
      True*) [ "$(kubectl get bcc bikes --output 'jsonpath={.status.observedGeneration}')" != "$generation" ] || return 0 ;;
    esac
    [ $SECONDS -lt $limit ] || {
      kubectl get bcc,pods
      die "the federation is not Ready after 5 minutes: kubectl describe bcc bikes"
    }
    sleep 0.5
  done
}

how_to_use() {
  local end="the federation, the operator, their charts"
  step "it is ready"
  kubectl get bcc
  echo
  if [ "$whose" = own ]; then
    end="all of it, and leaves nothing behind"
    hint "eval \"\$($scripts/cluster.sh env)\"" "gives your shell kubectl, helm and the cluster"
    hint "curl http://$(kubectl get service bikes-api --output 'jsonpath={.spec.clusterIP}'):9984/api/v2/status" "asks the federation, by its Service"
  fi
  hint "kubectl port-forward service/bikes-api 9984" "has it on http://127.0.0.1:9984"
  hint "kubectl exec bikes-alice-0 -- cairn status" "asks one validator"
  hint "kubectl describe bcc bikes" "says how it is, and why"
  hint "make cluster" "once more: updates all to what you changed"
  hint "make e2e" "plays the stories on it"
  hint "make cluster-down" "ends $end"
  printf '\ndocs/install.md goes on from here.\n'
}
hint() { printf '  %-52s %s\n' "$1" "$2"; } # COMMAND WHAT-IT-DOES

remove() {
  if [ "$whose" = own ]; then
    "$scripts/cluster.sh" down
    echo "nothing is left of the cluster"
    return
  fi
  kubectl delete -f $federation --ignore-not-found
  helm uninstall cairn-operator --namespace cairn-system --ignore-not-found
  helm uninstall cairn-crds --ignore-not-found
  kubectl delete namespace cairn-system --ignore-not-found
  echo "the CRDs stay, and every other BlockchainCluster with them: kubectl delete crd blockchainclusters.cairndb.io removes both"
}

install_operator() {
  case $whose in own) own_cluster ;; existing) existing_cluster ;; esac
  step "the images: make images PROFILE=${PROFILE:-release}"
  make --no-print-directory images PROFILE="${PROFILE:-release}" REGISTRY="$repository"
  give_images
  charts
}

case ${1:-} in
  up)
    install_operator
    apply_federation
    how_to_use
    ;;
  operator) install_operator ;;
  down) remove ;;
  *)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
