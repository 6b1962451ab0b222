#!/usr/bin/env bash
# A real Kubernetes cluster on one machine, without systemd, Docker or a registry.
#
#   cluster.sh up [NODES]          start a control plane and NODES nodes (default 1)
#   cluster.sh down                end every process, remove every trace
#   cluster.sh env                 print `export KUBECONFIG=... PATH=...`
#   cluster.sh load TAR...         import OCI image tars on every node
#   cluster.sh status              processes and memory of each box
#   cluster.sh exec BOX CMD...     run a command inside a box (cp, n1, n2, ...)
#   cluster.sh crash NODE          power loss: everything on the node dies at once
#   cluster.sh boot NODE           start it again (same disk)
#   cluster.sh stop NODE SERVICE   end one service (kubelet, containerd, kube-proxy, ...; on cp: kube-apiserver, ...)
#   cluster.sh start NODE SERVICE  ... and let it run again
#   cluster.sh cut NODE [NODE|cp]  drop traffic between a node and everything (or one other box)
#   cluster.sh heal NODE           remove every cut of this node
#
# Each node, and the control plane, is a "box": a process tree in its own network,
# mount, pid, uts, ipc and cgroup namespace, on the root file system of the machine
# with a private /var, /run and /sys/fs/cgroup.  Killing the first process of a box
# kills all of it.  The boxes hang on a bridge inside the control plane's box; the
# machine gets one interface into it and can reach the API server, the nodes and,
# through routes, the pods.
#
# Environment: K8S_BIN   programs (default: where build.sh puts them)
#              K8S_DIR   state (default ${TMPDIR:-/tmp}/k8s-cluster), not below /var or /run, on a real disk
#              K8S_NAME  name of interface and cgroups (default k8st, at most 8 letters)
#              K8S_NET   three octets of the node network (default 10.99.0)
#              K8S_PODS  two octets of the pod networks (default 10.244)
#              K8S_SERVICES  three octets of the Services (default 10.96.0)
#              K8S_DNS   pod (default; CoreDNS is a Deployment) or host (a process of the control plane)
#              K8S_NETPOL=0 leaves NetworkPolicies unenforced; K8S_PROXY_MODE=iptables instead of nftables
# Needs root and: containerd runc containernetworking-plugins iproute2 nftables
# iptables conntrack openssl jq python3 util-linux mount; xfsprogs for the class `sized`
set -euo pipefail
self=$(readlink -f "${BASH_SOURCE[0]}")
here=$(dirname "$self")
. "$here/lib.sh"
bin=$(readlink -f "${K8S_BIN:-$("$here/build.sh" --where)}")
export PYTHONDONTWRITEBYTECODE=1 K8S_DIR=${K8S_DIR:-${TMPDIR:-/tmp}/k8s-cluster}
export K8S_NAME=${K8S_NAME:-k8st} K8S_NET=${K8S_NET:-10.99.0} K8S_PODS=${K8S_PODS:-10.244} K8S_DNS=${K8S_DNS:-pod} K8S_BIN=$bin
dir=$K8S_DIR name=$K8S_NAME net=$K8S_NET pods=$K8S_PODS dns=$K8S_DNS
pki=$dir/pki
server=https://$net.1:6443
services=${K8S_SERVICES:-10.96.0} # .1 is the API server, .10 is DNS
kubectl() { "$bin/kubectl" --kubeconfig "$dir/kubeconfig" "$@"; }

# ---- processes -----------------------------------------------------------------

started_at() { awk '{sub(/.*\) /, ""); print $20}' "/proc/$1/stat" 2>/dev/null; }
alive() { # FILE holding "pid starttime"; prints the pid
  local pid at
  [ -e "$1" ] || return 1
  read -r pid at <"$1" || return 1
  [ "$(started_at "$pid")" = "$at" ] && ! grep -q '^State:.Z' "/proc/$pid/status" && echo "$pid"
}
box_pid() { alive "$dir/box/$1/init" || die "box $1 is not running"; }
boxes() { local b; for b in "$dir"/box/*/; do [ -e "$b/index" ] && basename "$b"; done; }
node_ip() { echo "$net.$((10 + $(cat "$dir/box/$1/index")))"; }

# Every mounted cgroup v1 hierarchy: "CONTROLLERS MOUNTPOINT PATH-OF-THIS-PROCESS"
hierarchies() {
  local id ctl path mnt
  while IFS=: read -r id ctl path; do
    [ -n "$ctl" ] || continue
    mnt=$(awk -v c="$ctl" '{n = split($0, a, " - "); split(a[1], l, " "); split(a[2], r, " ")
      if (r[1] == "cgroup" && ("," r[3] ",") ~ ("," c "(,|$)")) {print l[5]; exit}}' /proc/self/mountinfo)
    [ -n "$mnt" ] && echo "$ctl $mnt $path"
  done </proc/self/cgroup
}

box_start() { # NAME
  local box=$dir/box/$1 ctl mnt path cg monitor init
  mkdir -p "$box"/{var/lib,var/log,var/tmp,pv,log}
  rm -f "$box/net" "$box/init"
  while read -r ctl mnt path; do
    cg=$mnt${path%/}/$name
    mkdir -p "$cg/$1"
    echo "$cg" >>"$dir/cgroups"
    # A cpuset is empty at birth, and an empty one takes no process.
    [ "$ctl" != cpuset ] || for f in cpuset.cpus cpuset.mems; do
      for d in "$cg" "$cg/$1"; do cat "$mnt${path%/}/$f" >"$d/$f"; done
    done
    echo "$cg/$1"
  done < <(hierarchies) >"$box/cgroups"
  sort -u -o "$dir/cgroups" "$dir/cgroups"
  (
    while read -r cg; do echo "$BASHPID" >"$cg/cgroup.procs"; done <"$box/cgroups"
    exec setsid unshare --net --mount --pid --uts --ipc --cgroup --fork --kill-child=KILL --mount-proc \
      "$self" _init "$1"
  ) >"$box/log/init.log" 2>&1 </dev/null &
  monitor=$!
  for _ in $(seq 100); do
    init=$(cat "/proc/$monitor/task/$monitor/children" 2>/dev/null || true); init=${init%% *}
    [ -z "$init" ] || break
    sleep 0.02
  done
  [ -n "$init" ] || die "box $1 does not start: $(cat "$box/log/init.log")"
  echo "$init $(started_at "$init")" >"$box/init"
}

box_kill() { # NAME
  local pid
  pid=$(alive "$dir/box/$1/init") || return 0
  kill -9 "$pid" 2>/dev/null || true
  wait_for 30 "the end of box $1" eval "! alive '$dir/box/$1/init'"
  # As after a power loss; old pod cgroups would also hold up the next kubelet by 3 s each.
  while read -r cg; do
    wait_for 10 "$cg to be empty" eval "find '$cg' -depth -type d -exec rmdir {} + ; [ ! -d '$cg' ]"
  done <"$dir/box/$1/cgroups"
}

# ---- inside a box: process 1 ---------------------------------------------------

private_view() { # BOX
  local box=$dir/box/$1 ctl kv f
  mount --bind "$box/var" /var
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/lock /run/svc /run/sysctl
  # A view of /sys for this network namespace, and of the cgroups below our own ones only.
  umount -R /sys/fs/cgroup
  mount -t sysfs sysfs /sys
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  # All of them, named ones too: containerd gives up a cgroup with "cannot find cgroup mount
  # destination" when one is missing, and then reports no OOM kills.
  while IFS=: read -r _ ctl _; do
    [ -n "$ctl" ] || continue
    mkdir -p "/sys/fs/cgroup/${ctl#name=}"
    mount -t cgroup -o "${ctl/#name=/none,name=}" cgroup "/sys/fs/cgroup/${ctl#name=}"
  done </proc/self/cgroup
  # The kubelet sets these for the whole machine; let it find files of ours with the wanted values.
  for kv in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    f=/run/sysctl/$(tr / . <<<"${kv%=*}")
    echo "${kv#*=}" >"$f"
    mount --bind "$f" "/proc/sys/${kv%=*}"
  done
  mount --make-rshared /
  hostname "$1"
  ip link set lo up
  echo 1 >/proc/sys/net/ipv4/ip_forward
  while [ ! -e "$box/net" ]; do sleep 0.02; done
}

service() { # NAME COMMAND...    runs it, again and again unless NAME.down exists
  local name=$1 log=$box/log/$1.log pid; shift
  (
    trap - EXIT
    while :; do
      if [ -e "/run/svc/$name.down" ]; then sleep 0.1; continue; fi
      "$@" >>"$log" 2>&1 </dev/null &
      pid=$!
      echo "$pid" >"/run/svc/$name.pid"
      wait "$pid" || true
      echo "$(date +%T) $name ended" >>"$log"
      rm -f "/run/svc/$name.pid"
      sleep 0.3
    done
  ) &
}

init_cp() {
  service etcd "$bin/etcd" --name cp --data-dir "$box/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster cp=http://127.0.0.1:2380
  service kube-apiserver "$bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
    --advertise-address "$net.1" --bind-address 0.0.0.0 --secure-port 6443 \
    --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" --client-ca-file "$pki/ca.crt" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
    --anonymous-auth=false --service-cluster-ip-range "$services.0/24" \
    --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key" \
    --kubelet-certificate-authority "$pki/ca.crt" --kubelet-client-certificate "$pki/apiserver-kubelet.crt" \
    --kubelet-client-key "$pki/apiserver-kubelet.key" --kubelet-preferred-address-types InternalIP \
    --enable-aggregator-routing --default-not-ready-toleration-seconds 30 --default-unreachable-toleration-seconds 30 \
    --audit-policy-file "$dir/audit.yaml" --audit-log-path "$box/log/audit.log" --audit-log-maxsize 64 --audit-log-maxbackup 1
  wait_for 120 "kube-apiserver" "$bin/kubectl" --kubeconfig "$dir/kubeconfig" get --raw /readyz
  # Nobody asks for certificates here, and each of their signers watches its files: the kernel counts such
  # watches of all clusters on the machine together, and gives 128 (fs.inotify.max_user_instances).
  service kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$box/kcm.kubeconfig" \
    --controllers '*,-certificatesigningrequest-signing-controller' \
    --authentication-kubeconfig "$box/kcm.kubeconfig" --authorization-kubeconfig "$box/kcm.kubeconfig" \
    --use-service-account-credentials --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/sa.key" \
    --kube-api-qps 500 --kube-api-burst 1000 --leader-elect=false --bind-address 127.0.0.1 \
    --node-monitor-period 2s --node-monitor-grace-period 16s --flex-volume-plugin-dir /var/lib/flex
  service kube-scheduler "$bin/kube-scheduler" --kubeconfig "$box/scheduler.kubeconfig" \
    --authentication-kubeconfig "$box/scheduler.kubeconfig" --authorization-kubeconfig "$box/scheduler.kubeconfig" \
    --leader-elect=false --bind-address 127.0.0.1
  # Services for the machine, which has no kube-proxy of its own: it routes them here.
  service kube-proxy "$bin/kube-proxy" --config "$box/kube-proxy.yaml"
  [ "$dns" = pod ] || service coredns "$bin/coredns" -conf "$box/Corefile"
}

init_node() {
  local host
  host=$(hostname)
  service containerd containerd --config "$box/containerd.toml"
  service kube-proxy "$bin/kube-proxy" --config "$box/kube-proxy.yaml"
  service provisioner python3 "$here/provisioner.py" --node "$host" --kubeconfig "$dir/provisioner.json" --dir "$box/pv"
  [ "${K8S_NETPOL:-1}" = 0 ] || service netpol python3 "$here/netpol.py" --node "$host" --kubeconfig "$dir/netpol.json"
  wait_for 60 containerd ctr version
  for tar in "$dir"/images/*.tar; do ctr -n k8s.io images import "$tar" >>"$box/log/images.log" 2>&1; done
  service kubelet "$bin/kubelet" --config "$box/kubelet.yaml" --kubeconfig "$box/kubelet.kubeconfig" \
    --hostname-override "$host" --node-ip "$(node_ip "$host")" \
    --node-labels "topology.kubernetes.io/zone=zone-$host,topology.kubernetes.io/region=test"
}

init() { # BOX      process 1 of the box
  box=$dir/box/$1
  private_view "$1"
  if [ "$1" = cp ]; then init_cp; else init_node; fi
  while :; do sleep 3600 & wait $! || true; done
}

# ---- set up, from outside ------------------------------------------------------

in_net() { local pid; pid=$(box_pid "$1"); shift; nsenter -t "$pid" -n "$@"; }

write_cp() {
  local box=$dir/box/cp
  mkdir -p "$box"
  echo 0 >"$box/index"
  pki_kubeconfig kcm "$server" "$box/kcm.kubeconfig"
  pki_kubeconfig scheduler "$server" "$box/scheduler.kubeconfig"
  pki_kubeconfig coredns "$server" "$box/coredns.kubeconfig"
  corefile "bind $net.1" "kubeconfig $box/coredns.kubeconfig" >"$box/Corefile"
  write_proxy cp
  cat >"$dir/audit.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, verbs: [get, list, watch]}
- {level: None, resources: [{group: coordination.k8s.io}, {group: "", resources: [events]}, {group: events.k8s.io}]}
- {level: Metadata}
YAML
  local agent
  for agent in provisioner netpol; do
    jq -n --arg s "$server" --arg p "$pki" --arg n "$agent" \
      '{server: $s, ca: "\($p)/ca.crt", cert: "\($p)/\($n).crt", key: "\($p)/\($n).key"}' >"$dir/$agent.json"
  done
}

write_proxy() { # BOX
  local box=$dir/box/$1
  pki_kubeconfig proxy "$server" "$box/proxy.kubeconfig"
  cat >"$box/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ${K8S_PROXY_MODE:-nftables}
hostnameOverride: $1
clusterCIDR: $pods.0.0/16
clientConnection: {kubeconfig: $box/proxy.kubeconfig}
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {minSyncPeriod: 200ms}
YAML
}

write_node() { # NODE INDEX
  local box=$dir/box/$1 ip=$net.$((10 + $2))
  mkdir -p "$box/cni"
  echo "$2" >"$box/index"
  pki_cert "$1" "/O=system:nodes/CN=system:node:$1" "DNS:$1,IP:$ip"
  pki_kubeconfig "$1" "$server" "$box/kubelet.kubeconfig"
  : >"$box/resolv.conf"
  cat >"$box/containerd.toml" <<TOML
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "k8s.test/pause:1"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$box/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
TOML
  cat >"$box/cni/10-bridge.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pods.$2.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  write_proxy "$1"
  cat >"$box/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
protectKernelDefaults: true
oomScoreAdj: 0
maxOpenFiles: 20000
maxPods: 60
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $pki/ca.crt}, webhook: {enabled: true}}
authorization: {mode: Webhook}
tlsCertFile: $pki/$1.crt
tlsPrivateKeyFile: $pki/$1.key
clusterDNS: [$services.10]
clusterDomain: cluster.local
resolvConf: $box/resolv.conf
volumePluginDir: /var/lib/flex
seccompDefault: true
serializeImagePulls: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
nodeStatusUpdateFrequency: 4s
syncFrequency: 10s
shutdownGracePeriod: 0s
YAML
}

plug() { # NODE     cable between the node and the bridge, and routes to the pods
  local ip pid i
  pid=$(box_pid "$1") ip=$(node_ip "$1") i=$(cat "$dir/box/$1/index")
  in_net cp ip link add "$1" type veth peer name eth0 netns "$pid"
  in_net cp ip link set "$1" master br0 up
  in_net "$1" ip addr add "$ip/24" dev eth0
  in_net "$1" ip link set eth0 up
  in_net "$1" ip route add default via "$net.1"
  in_net cp ip route replace "$pods.$i.0/24" via "$ip"
  ip route replace "$pods.$i.0/24" via "$ip" dev "$name"
  for other in $(boxes); do
    case $other in cp|"$1") continue ;; esac
    [ -e "$dir/box/$other/net" ] && alive "$dir/box/$other/init" >/dev/null || continue
    in_net "$other" ip route replace "$pods.$i.0/24" via "$ip"
    in_net "$1" ip route replace "$pods.$(cat "$dir/box/$other/index").0/24" via "$(node_ip "$other")"
  done
  : >"$dir/box/$1/net"
}

corefile() { # BIND-LINE KUBECONFIG-LINE
  cat <<CORE
.:53 {
  $1
  errors
  health :8080
  ready :8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    $2
    pods insecure
    ttl 5
  }
  cache 5
}
CORE
}

dns_host() { # CoreDNS is a process of the control plane
  cat <<YAML
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-cp, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints: [{addresses: ["$net.1"], conditions: {ready: true}}]
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
YAML
}

dns_pod() { # ... or a Deployment, as elsewhere: NetworkPolicies can name its pods
  cat <<YAML
apiVersion: v1
kind: ServiceAccount
metadata: {name: coredns, namespace: kube-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
data:
  Corefile: |
$(corefile "" "" | sed 's/^/    /')
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  replicas: $(($(boxes | wc -l) > 2 ? 2 : 1))
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns}}
    spec:
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {k8s-app: kube-dns}}}
      serviceAccountName: coredns
      priorityClassName: system-cluster-critical
      dnsPolicy: Default
      tolerations: [{operator: Exists, effect: NoExecute, tolerationSeconds: 5}]
      containers:
      - name: coredns
        image: k8s.test/coredns:1
        args: [-conf, /etc/coredns/Corefile]
        securityContext: {runAsUser: 0, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}
        readinessProbe: {httpGet: {path: /ready, port: 8181}, periodSeconds: 1}
        volumeMounts: [{name: config, mountPath: /etc/coredns}]
      volumes: [{name: config, configMap: {name: coredns}}]
YAML
}

manifests() {
  cat <<YAML
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  clusterIP: $services.10
$([ "$dns" = host ] || echo '  selector: {k8s-app: kube-dns}')
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
---
$(dns_$dns)
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test:coredns}
rules:
- {apiGroups: [""], resources: [services, pods, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test:coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: test:coredns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: test:coredns}, {kind: ServiceAccount, name: coredns, namespace: kube-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test:provisioner}
rules:
- {apiGroups: [""], resources: [persistentvolumes], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [""], resources: [persistentvolumeclaims], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [persistentvolumeclaims/status], verbs: [patch]}
- {apiGroups: [storage.k8s.io], resources: [storageclasses], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test:provisioner}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: test:provisioner}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: test:provisioner}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test:netpol}
rules:
- {apiGroups: [""], resources: [pods, namespaces], verbs: [list, watch]}
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test:netpol}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: test:netpol}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: test:netpol}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: test.invalid/local
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: sized}
provisioner: test.invalid/local
parameters: {fs: xfs}
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
YAML
}

lap() { note "$(printf '%6d ms  %s' $((($(date +%s%N) - t0) / 1000000)) "$*")"; }

up() {
  local nodes=${1:-1} i
  t0=$(date +%s%N)
  [ "$(id -u)" = 0 ] || die "needs root"
  case $dir/ in /var/*|/run/*) die "K8S_DIR must not be below /var or /run" ;; esac
  case $bin/ in /var/*|/run/*) die "K8S_BIN must not be below /var or /run" ;; esac
  [ ! -e "$dir/box" ] || die "$dir is in use: run '$0 down' first"
  for t in containerd runc ctr nft conntrack openssl jq python3 ip nsenter unshare /usr/lib/cni/bridge; do
    command -v "$t" >/dev/null || die "missing: $t"
  done
  mkdir -p "$dir/box" "$dir/images"
  "$here/image.py" k8s.test/pause:1 "$dir/images/pause.tar" "$bin/pause" >/dev/null
  "$here/image.py" k8s.test/coredns:1 "$dir/images/coredns.tar" "$bin/coredns" >/dev/null
  pki_init "$pki"
  pki_cert apiserver /CN=kube-apiserver \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$net.1,IP:$services.1"
  pki_cert apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client
  pki_cert admin /O=system:masters/CN=admin
  pki_cert kcm /CN=system:kube-controller-manager
  pki_cert scheduler /CN=system:kube-scheduler
  pki_cert proxy /CN=system:kube-proxy
  pki_cert coredns /CN=test:coredns
  pki_cert provisioner /CN=test:provisioner
  pki_cert netpol /CN=test:netpol
  pki_kubeconfig admin "$server" "$dir/kubeconfig"
  write_cp
  for i in $(seq "$nodes"); do write_node "n$i" "$i"; done
  lap "certificates and configuration"
  box_start cp
  in_net cp ip link add br0 type bridge
  in_net cp ip link set br0 up
  ip link add "$name" type veth peer name host0 netns "$(box_pid cp)"
  in_net cp ip link set host0 master br0 up
  in_net cp ip addr add "$net.1/24" dev br0
  ip addr add "$net.254/24" dev "$name"
  ip link set "$name" up
  ip route replace "$services.0/24" via "$net.1" dev "$name"
  : >"$dir/box/cp/net"
  for i in $(seq "$nodes"); do box_start "n$i"; done
  for i in $(seq "$nodes"); do plug "n$i"; done
  lap "boxes and network"
  wait_for 120 "kube-apiserver" kubectl get --raw /readyz || die "see $dir/box/cp/log"
  lap "kube-apiserver /readyz"
  wait_for 30 "manifests" eval 'manifests | kubectl apply -f -' || die "manifests: $(manifests | kubectl apply -f - 2>&1)"
  lap "DNS service, RBAC, storage classes"
  wait_for 60 "$nodes nodes" eval '[ "$(kubectl get nodes -o name | wc -l)" = '"$nodes"' ]' || die "see $dir/box/*/log/kubelet.log"
  kubectl wait --for=condition=Ready node --all --timeout=120s >/dev/null || die "nodes are not ready"
  lap "$nodes nodes Ready"
  case $dns in
    host) wait_for 60 "CoreDNS" curl -fs "http://$net.1:8181/ready" || die "CoreDNS is not ready" ;;
    pod) kubectl -n kube-system rollout status deployment/coredns --timeout=60s >/dev/null || die "CoreDNS is not ready" ;;
  esac
  lap "DNS ready"
}

down() {
  local b cg
  for b in $(boxes); do box_kill "$b"; done
  ip link del "$name" 2>/dev/null || true
  # Loop devices of sized volumes detach with the last mount; wait for them.
  wait_for 10 "loop devices" eval "! losetup -a | grep -q '$dir/'" || true
  [ ! -e "$dir/cgroups" ] || while read -r cg; do
    [ ! -d "$cg" ] || wait_for 10 "$cg to be empty" eval "find '$cg' -depth -type d -exec rmdir {} + ; [ ! -d '$cg' ]"
  done <"$dir/cgroups"
  rm -rf "${dir:?}"
}

case ${1:-} in
  _init) init "$2" ;;
  up) up "${2:-1}" ;;
  down) down ;;
  env) echo "export KUBECONFIG=$dir/kubeconfig PATH=$bin:\$PATH" ;;
  load)
    shift
    for tar; do
      cp "$tar" "$dir/images/"
      for b in $(boxes); do
        [ "$b" = cp ] || "$self" exec "$b" ctr -n k8s.io images import "$dir/images/$(basename "$tar")" >/dev/null &
      done
      wait
    done ;;
  exec) pid=$(box_pid "$2"); shift 2; exec nsenter -t "$pid" -n -m -p -u -i -C "$@" ;;
  crash) box_kill "$2"; ip route del "$pods.$(cat "$dir/box/$2/index").0/24" 2>/dev/null || true ;;
  boot) [ -z "$(alive "$dir/box/$2/init")" ] || die "$2 is running"; box_start "$2"; plug "$2" ;;
  stop) "$self" exec "$2" sh -c "touch /run/svc/$3.down; kill -9 \$(cat /run/svc/$3.pid)" ;;
  start) "$self" exec "$2" rm -f "/run/svc/$3.down" ;;
  cut) # on the bridge port of the node: it also holds for what its pods send
    in_net cp nft add table bridge cuts
    in_net cp nft add chain bridge cuts between '{ type filter hook forward priority 0; policy accept; }'
    in_net cp nft add chain bridge cuts to_cp '{ type filter hook input priority 0; policy accept; }'
    in_net cp nft add chain bridge cuts from_cp '{ type filter hook output priority 0; policy accept; }'
    case ${3:-all} in
      all) in_net cp nft add rule bridge cuts between iifname "$2" drop comment "$2"
           in_net cp nft add rule bridge cuts between oifname "$2" drop comment "$2"
           in_net cp nft add rule bridge cuts to_cp iifname "$2" drop comment "$2"
           in_net cp nft add rule bridge cuts from_cp oifname "$2" drop comment "$2" ;;
      cp) in_net cp nft add rule bridge cuts to_cp iifname "$2" drop comment "$2"
          in_net cp nft add rule bridge cuts from_cp oifname "$2" drop comment "$2" ;;
      *) in_net cp nft add rule bridge cuts between iifname "$2" oifname "$3" drop comment "$2"
         in_net cp nft add rule bridge cuts between iifname "$3" oifname "$2" drop comment "$2" ;;
    esac ;;
  heal)
    for c in between to_cp from_cp; do
      in_net cp nft -a -j list chain bridge cuts "$c" 2>/dev/null |
        jq -r --arg n "$2" '.nftables[].rule? | select(.comment == $n) | .handle' |
        while read -r h; do in_net cp nft delete rule bridge cuts "$c" handle "$h"; done
    done ;;
  status)
    for b in $(boxes); do
      pid=$(alive "$dir/box/$b/init") || { echo "$b: down"; continue; }
      ns=$(readlink "/proc/$pid/ns/pid")
      echo "$b: (private memory MiB)"
      for p in /proc/[0-9]*; do
        [ "$(readlink "$p/ns/pid" 2>/dev/null)" = "$ns" ] || continue
        awk -v n="$(cat "$p/comm" 2>/dev/null)" '/^Pss:/ {s = $2} END {if (s > 2048) printf "  %-24s %6.0f\n", n, s / 1024}' "$p/smaps_rollup" 2>/dev/null || true
      done | sort -k2 -rn
    done ;;
  *) sed -n '2,16p' "$self"; exit 2 ;;
esac
