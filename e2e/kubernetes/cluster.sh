#!/usr/bin/env bash
# A real Kubernetes cluster on this machine, without systemd, Docker or a registry.
#
#   cluster.sh up [NODES]             starts a control plane and so many nodes, one by default
#   cluster.sh down                   ends it, and leaves nothing behind
#   cluster.sh env                    prints what a shell evaluates to use it: KUBECONFIG, and PATH to kubectl and helm
#   cluster.sh load ARCHIVE...        gives images (OCI archives) to every node
#   cluster.sh tag IMAGE NAME         gives an image that was loaded another name
#   cluster.sh check [NODES]          says whether this machine can do it, and what is missing
#   cluster.sh where                  prints where it lives
#   cluster.sh status                 what runs, and how much memory it takes
#
# and what befalls machines, for tests; a BOX is a node (n1, n2, ...) or the control plane (cp):
#
#   cluster.sh exec BOX COMMAND...    runs a command on it
#   cluster.sh crash NODE             cuts its power: all that runs on it is gone at once, its disk stays
#   cluster.sh boot NODE              starts it again
#   cluster.sh stop BOX SERVICE       kills a service: kubelet, containerd, kube-proxy, ...; on cp kube-apiserver, etcd, ...
#   cluster.sh start BOX SERVICE      lets it run again
#   cluster.sh cut NODE [BOX]         drops what goes between a node and another box, or all others
#   cluster.sh heal NODE              mends what was cut from this node
#
# A box is a tree of processes in namespaces of its own (box.sh): when its first one is killed, all of it
# is gone. The boxes hang on a bridge in the control plane's; the machine has one cable into it, and
# reaches nodes, pods and Services.
#
# CAIRN_CLUSTER_DIR       where it lives: /tmp/cairn-cluster by default. On a real disk; not below /var or /run
# CAIRN_CLUSTER_NETWORK   the first half of its addresses: 10.99 by default. Two clusters on one machine need two
#
# Needs root and the packages that packages.sh names; the programs come from build.sh --nodes.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"
. "$here/configuration.sh"
programs=${programs:-$("$here/build.sh" --where)}
kubectl() { "$programs/kubectl" --kubeconfig "$dir/kubeconfig" "$@"; }

# ---- boxes ---------------------------------------------------------------------

first_process() { alive "$dir/box/$1/first" || die "$1 does not run"; }
on_network_of() {
  local process
  process=$(first_process "$1")
  shift
  nsenter --target "$process" --net "$@"
}
on() { # BOX COMMAND...
  local process
  process=$(first_process "$1")
  shift
  nsenter --target "$process" --net --mount --pid --uts --ipc --cgroup "$@"
}
known() { # BOX...
  local box
  for box; do
    [ -e "$dir/box/$box/index" ] || die "there is no $box here; there are $(boxes | tr '\n' ' ')"
  done
}

# Every hierarchy of control groups that is mounted: its controllers, where, and this process's own path in it.
hierarchies() {
  local controllers path mounted
  while IFS=: read -r _ controllers path; do
    [ -n "$controllers" ] || continue
    mounted=$(awk -v wanted="$controllers" '{split($0, half, " - "); split(half[1], left, " "); split(half[2], right, " ")
      if (right[1] == "cgroup" && ("," right[3] ",") ~ ("," wanted "(,|$)")) {print left[5]; exit}}' /proc/self/mountinfo)
    [ -z "$mounted" ] || echo "$controllers $mounted ${path%/}"
  done </proc/self/cgroup
}

make_groups() { # BOX
  local controllers mounted path group file
  while read -r controllers mounted path; do
    group=$mounted$path/$name
    # Noted first: what was noted is removed.
    grep -qsx "$group" "$dir/groups" || echo "$group" >>"$dir/groups"
    mkdir -p "$group/$1"
    if [ "$controllers" = cpuset ]; then # empty at birth, and takes no process while it is
      for file in cpuset.cpus cpuset.mems; do
        cat "$mounted$path/$file" >"$group/$file"
        cat "$mounted$path/$file" >"$group/$1/$file"
      done
    fi
    echo "$group/$1"
  done < <(hierarchies) >"$dir/box/$1/groups"
}

start_box() { # BOX
  local box=$dir/box/$1 outer first=
  mkdir -p "$box"/{var/lib,var/log,var/tmp,volumes,images,log}
  rm -f "$box/plugged" "$box/first"
  make_groups "$1"
  (
    while read -r group; do echo "$BASHPID" >"$group/cgroup.procs"; done <"$box/groups"
    exec setsid unshare --net --mount --pid --uts --ipc --cgroup --fork --kill-child=KILL --mount-proc \
      "$dir/scripts/box.sh" "$1"
  ) >"$box/log/box.log" 2>&1 </dev/null &
  outer=$!
  for _ in $(seq 250); do
    first=$(cat "/proc/$outer/task/$outer/children" 2>/dev/null || true)
    first=${first%% *}
    [ -z "$first" ] || break
    sleep 0.02
  done
  [ -n "$first" ] || die "$1 does not start: $(cat "$box/log/box.log")"
  echo "$first $(started_at "$first")" >"$box/first"
}

# Kills what is in a control group and below it, and removes it.
remove_group() { # GROUP
  [ -d "$1" ] || return 0
  find "$1" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | xargs -r kill -KILL 2>/dev/null || true
  find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
  [ ! -d "$1" ]
}

# The groups go too, as with a machine: the kubelet would wait 3 s for each old pod's when it boots.
kill_box() { # BOX
  local process group
  if process=$(alive "$dir/box/$1/first"); then kill -KILL "$process" 2>/dev/null || true; fi
  [ ! -e "$dir/box/$1/groups" ] || while read -r group; do
    wait_for 30 "the end of what runs in $group" remove_group "$group"
  done <"$dir/box/$1/groups"
}

# ---- the network ---------------------------------------------------------------

lay_network() {
  on_network_of cp ip link add bridge type bridge
  on_network_of cp ip link set bridge up
  ip link add "$name" type veth peer name machine netns "$(first_process cp)"
  on_network_of cp ip link set machine master bridge up
  on_network_of cp ip address add "$nodes.1/24" dev bridge
  ip address add "$nodes.254/24" dev "$name"
  ip link set "$name" up
  ip route replace "$services.0/24" via "$nodes.1" dev "$name"
  : >"$dir/box/cp/plugged"
}

# A cable between a node and the bridge, and the ways to the pods.
plug() { # NODE
  local address pods other
  address=$(address_of "$1") pods=$(pods_of "$(index_of "$1")")
  on_network_of cp ip link add "$1" type veth peer name eth0 netns "$(first_process "$1")"
  on_network_of cp ip link set "$1" master bridge up
  on_network_of "$1" ip address add "$address/24" dev eth0
  on_network_of "$1" ip link set eth0 up
  on_network_of "$1" ip route add default via "$nodes.1"
  on_network_of cp ip route replace "$pods" via "$address"
  ip route replace "$pods" via "$address" dev "$name"
  for other in $(boxes); do
    case $other in cp | "$1") continue ;; esac
    # Nothing can be routed to a node that has no cable yet; its own turn adds both ways.
    [ -e "$dir/box/$other/plugged" ] && alive "$dir/box/$other/first" >/dev/null || continue
    on_network_of "$other" ip route replace "$pods" via "$address"
    on_network_of "$1" ip route replace "$(pods_of "$(index_of "$other")")" via "$(address_of "$other")"
  done
  : >"$dir/box/$1/plugged"
}

# On the bridge, so that it holds for what comes from a node's pods too.
cut_off() { # NODE [BOX]
  local rules=()
  case ${2:-all} in
    all) rules=("between iifname $1" "between oifname $1" "to_cp iifname $1" "from_cp oifname $1") ;;
    cp) rules=("to_cp iifname $1" "from_cp oifname $1") ;;
    *) rules=("between iifname $1 oifname $2" "between iifname $2 oifname $1") ;;
  esac
  on_network_of cp nft -f - <<NFT
add table bridge cuts
add chain bridge cuts between { type filter hook forward priority 0; policy accept; }
add chain bridge cuts to_cp { type filter hook input priority 0; policy accept; }
add chain bridge cuts from_cp { type filter hook output priority 0; policy accept; }
$(printf "add rule bridge cuts %s drop comment \"$1\"\n" "${rules[@]}")
NFT
}

heal() { # NODE
  local chain handle
  for chain in between to_cp from_cp; do
    on_network_of cp nft --handle --json list chain bridge cuts "$chain" 2>/dev/null |
      jq -r --arg node "$1" '.nftables[].rule? | select(.comment == $node) | .handle' |
      while read -r handle; do on_network_of cp nft delete rule bridge cuts "$chain" handle "$handle"; done
  done
}

# ---- up and down ---------------------------------------------------------------

# Of what every cluster needs: made once, beside the programs.
system_image() { # NAME
  local archive=$programs/$1.tar new
  if [ ! "$archive" -nt "$programs/$1" ]; then
    new=$(mktemp "$archive.XXXX")
    "$here/image.py" "cairn.local/$1:1" "$new" "$programs/$1" >/dev/null
    mv "$new" "$archive"
  fi
  cp "$archive" "$dir/images/"
}

check() { # [NODES]
  local above missing=() probe
  [ "$(id -u)" = 0 ] || missing+=("it must be root, to make namespaces and mounts")
  for above in "$dir" "$programs"; do
    case $above/ in /var/* | /run/*) missing+=("$above is below /var or /run, of which every node has its own: CAIRN_CLUSTER_DIR and XDG_CACHE_HOME say where else") ;; esac
  done
  "$here/packages.sh" >/dev/null 2>&1 || missing+=("packages are not installed: e2e/kubernetes/packages.sh names them, and installs them with --install")
  if [ ${#missing[@]} = 0 ]; then
    [ -n "$(hierarchies)" ] || missing+=("it has no control groups of version 1, and this was never tried with version 2 alone")
    probe=$(unshare --net --mount --pid --uts --ipc --cgroup --fork --mount-proc "$here/probe.sh" 2>&1) ||
      missing+=("${probe:-namespaces cannot be made here}")
  fi
  inotify_suffices "${1:-3}" || missing+=("its inotify instances are taken: \`sysctl -w fs.inotify.max_user_instances=1024\` gives every user more")
  [ ${#missing[@]} = 0 ] || {
    say "this machine cannot have a cluster:"
    printf -- '- %s\n' "${missing[@]}" >&2
    return 3
  }
}

# A kubelet takes six, the control plane and each proxy and containerd the rest. Those that are held by
# processes of root are counted, as the cluster is root's too.
inotify_suffices() { # NODES
  local taken
  taken=$(find /proc/[0-9]*/fd -lname anon_inode:inotify -user root 2>/dev/null | wc -l)
  [ $((taken + 5 + 8 * $1)) -le "$(cat /proc/sys/fs/inotify/max_user_instances)" ]
}

up() {
  local count=${1:-1} index
  [[ $count =~ ^[1-9]$ ]] || die "$count nodes: 1 to 9 would do"
  [[ $network =~ ^[0-9]+\.[0-9]+$ ]] || die "CAIRN_CLUSTER_NETWORK=$network: two numbers, such as 10.98, would do"
  check "$count" || exit
  [ ! -e "$dir/box" ] || die "there is a cluster in $dir: \`$0 down\` ends it, or CAIRN_CLUSTER_DIR says where else"
  ! ip link show "$name" >/dev/null 2>&1 ||
    die "the interface $name is there already, of a cluster elsewhere: CAIRN_CLUSTER_NETWORK=10.98 or so would do"
  "$here/build.sh" --nodes >/dev/null
  trap 'trap - INT TERM; say "ending what was begun ..."; down; exit 130' INT TERM
  begun=$(date +%s%N) # without what was built
  mkdir -p "$dir/box" "$dir/images" "$dir/scripts"
  # Copies, as boxes read them while they run, and somebody may change these.
  cp "$here"/{box.sh,common.sh,api.py,provisioner.py,policies.py} "$dir/scripts/"
  printf 'network=%s\nprograms=%s\n' "$network" "$programs" >"$dir/settings"
  system_image pause
  system_image coredns
  write_certificates "$count"
  write_control_plane
  for index in $(seq "$count"); do write_node "n$index" "$index"; done
  lap "certificates and configuration are written"
  start_box cp
  lay_network
  for index in $(seq "$count"); do start_box "n$index"; done
  for index in $(seq "$count"); do plug "n$index"; done
  lap "the boxes run: cp and $(seq -s ', ' -f 'n%g' "$count")"
  wait_for 120 kube-apiserver kubectl get --raw /readyz || die "see $dir/box/cp/log"
  lap "the API server answers"
  wait_for 30 "DNS and storage classes" apply_system || die "$(apply_system 2>&1)"
  wait_for 60 "$count nodes" all_registered "$count" || die "see $dir/box/*/log/kubelet.log"
  kubectl wait --for=condition=Ready node --all --timeout=120s >/dev/null || die "see $dir/box/*/log/kubelet.log"
  lap "every node is Ready"
  kubectl --namespace kube-system rollout status deployment/coredns --timeout=120s >/dev/null || die "CoreDNS is not ready"
  lap "DNS answers"
}
apply_system() {
  sed -e "s/@SERVICES@/$services/" -e "s/@REPLICAS@/$(($(boxes | wc -l) > 2 ? 2 : 1))/" "$here/system.yaml" | kubectl apply -f -
}
all_registered() { [ "$(kubectl get nodes -o name | wc -l)" = "$1" ]; }

down() {
  local box group
  for box in $(boxes); do kill_box "$box" || true; done
  # And of boxes that were killed at birth.
  [ ! -e "$dir/groups" ] || while read -r group; do
    wait_for 30 "the end of what runs in $group" remove_group "$group"
  done <"$dir/groups"
  ip link delete "$name" 2>/dev/null || true
  # Loop devices go with the last mount of what they show.
  wait_for 10 "loop devices of $dir" no_loop_devices || true
  rm -rf "${dir:?}"
}
no_loop_devices() { ! losetup --list --noheadings --output BACK-FILE | grep -qF "$dir/"; }

load() { # ARCHIVE...
  local archive box own taking=()
  for archive; do
    [ -e "$archive" ] || die "$archive is not there; an OCI archive, such as image.py writes, would do"
    own=$dir/images/$(basename "$archive")
    cmp -s "$archive" "$own" || cp "$archive" "$own"
    for box in $(boxes); do
      # A node that is down takes it in when it boots.
      [ "$box" != cp ] && alive "$dir/box/$box/first" >/dev/null || continue
      [ "$dir/box/$box/images/$(basename "$own")" -nt "$own" ] && continue
      { on "$box" ctr --namespace k8s.io images import "$own" >/dev/null && touch "$dir/box/$box/images/$(basename "$own")"; } &
      taking+=($!)
    done
  done
  for box in "${taking[@]}"; do wait "$box" || die "a node did not take an image: see above"; done
}

tag() { # IMAGE NAME
  local box
  for box in $(boxes); do
    [ "$box" = cp ] || on "$box" ctr --namespace k8s.io images tag --force "$1" "$2" >/dev/null
  done
}

status() {
  local box process namespace
  for box in $(boxes); do
    process=$(alive "$dir/box/$box/first") || {
      echo "$box: down"
      continue
    }
    echo "$box: runs, MiB of memory"
    namespace=$(readlink "/proc/$process/ns/pid")
    for process in /proc/[0-9]*; do
      [ "$(readlink "$process/ns/pid" 2>/dev/null)" = "$namespace" ] || continue
      awk -v name="$(cat "$process/comm" 2>/dev/null)" '/^Pss:/ {kib = $2} END {if (kib > 2048) printf "  %-24s %6.0f\n", name, kib / 1024}' \
        "$process/smaps_rollup" 2>/dev/null || true
    done | sort -k2 -rn
  done
}

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
wants() { # COUNT WORDS...      how many words a command needs at least
  [ "$#" -gt "$(($1 + 1))" ] || {
    say "cluster.sh $2: more words are needed:"
    usage | grep -F "cluster.sh $2 " >&2
    exit 2
  }
}

case ${1:-} in
  up) up "${2:-1}" ;;
  down) down ;;
  check) check "${2:-3}" ;;
  env) echo "export KUBECONFIG=$dir/kubeconfig PATH=$programs:\$PATH" ;;
  load) wants 1 "$@" && shift && load "$@" ;;
  tag) wants 2 "$@" && tag "$2" "$3" ;;
  where) echo "$dir" ;;
  status) status ;;
  exec) wants 2 "$@" && known "$2" && shift && on "$@" ;;
  crash)
    wants 1 "$@" && known "$2" && kill_box "$2"
    ip route delete "$(pods_of "$(index_of "$2")")" 2>/dev/null || true
    ;;
  boot)
    wants 1 "$@" && known "$2"
    [ -z "$(alive "$dir/box/$2/first")" ] || die "$2 runs"
    start_box "$2"
    plug "$2"
    ;;
  stop) wants 2 "$@" && known "$2" && on "$2" sh -c "touch /run/services/$3.down; kill -KILL \$(cat /run/services/$3.pid)" ;;
  start) wants 2 "$@" && known "$2" && on "$2" rm -f "/run/services/$3.down" ;;
  cut) wants 1 "$@" && known "$2" ${3:+"$3"} && cut_off "$2" "${3:-all}" ;;
  heal) wants 1 "$@" && known "$2" && heal "$2" ;;
  help | --help | -h) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
