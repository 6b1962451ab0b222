#!/usr/bin/env bash
# The first process of a box of the cluster: the control plane (cp) or a node (n1, n2, ...).
#
# cluster.sh starts it in namespaces of its own: network, mounts, processes, host name, IPC and control
# groups. It is on the root file system of the machine, with a /var, /run, /sys and control groups of its
# own, and runs the services of its kind until it is killed, which kills them all.
set -euo pipefail
dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export CAIRN_CLUSTER_DIR=$dir PYTHONDONTWRITEBYTECODE=1
. "$dir/scripts/common.sh"
box=$dir/box/$1

private_view() {
  local controllers setting file
  mount --bind "$box/var" /var
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/lock /run/services /run/sysctl
  # cAdvisor reads every mount of a control group that it finds, also one that lies under another.
  umount -R /sys/fs/cgroup
  mount -t sysfs sysfs /sys
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  # All of them, the named ones too: where one is missing, containerd gives up ("cannot find cgroup mount
  # destination") and tells nobody that a container ran out of memory.
  while IFS=: read -r _ controllers _; do
    [ -n "$controllers" ] || continue
    mkdir -p "/sys/fs/cgroup/${controllers#name=}"
    mount -t cgroup -o "${controllers/#name=/none,name=}" cgroup "/sys/fs/cgroup/${controllers#name=}"
  done </proc/self/cgroup
  # The kubelet sets these for the whole machine. It finds files of ours here, which have its values.
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=/run/sysctl/$(tr / . <<<"${setting%=*}")
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
  done
  mount --make-rshared /
  hostname "$1"
  ip link set lo up
  echo 1 >/proc/sys/net/ipv4/ip_forward
  # cluster.sh plugs it in, from outside.
  while [ ! -e "$box/plugged" ]; do sleep 0.02; done
}

# Runs a program again and again, unless /run/services/NAME.down is there.
service() { # NAME COMMAND...
  local name=$1 log=$box/log/$1.log running
  shift
  (
    while :; do
      if [ -e "/run/services/$name.down" ]; then
        sleep 0.1
        continue
      fi
      "$@" >>"$log" 2>&1 </dev/null &
      running=$!
      echo "$running" >"/run/services/$name.pid"
      wait "$running" || true
      echo "$(date +%T) $name ended" >>"$log"
      rm -f "/run/services/$name.pid"
      sleep 0.3
    done
  ) &
}

control_plane() {
  # Nobody needs this data after a power failure.
  service etcd "$programs/etcd" --name cp --data-dir "$box/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster cp=http://127.0.0.1:2380
  service kube-apiserver "$programs/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
    --advertise-address "$nodes.1" --bind-address 0.0.0.0 --secure-port 6443 \
    --tls-cert-file "$certificates/apiserver.crt" --tls-private-key-file "$certificates/apiserver.key" \
    --client-ca-file "$certificates/ca.crt" --anonymous-auth=false \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
    --service-cluster-ip-range "$services.0/24" --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$certificates/accounts.pub" --service-account-signing-key-file "$certificates/accounts.key" \
    --kubelet-certificate-authority "$certificates/ca.crt" --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate "$certificates/apiserver-kubelet.crt" --kubelet-client-key "$certificates/apiserver-kubelet.key" \
    --enable-aggregator-routing --default-not-ready-toleration-seconds 30 --default-unreachable-toleration-seconds 30 \
    --audit-policy-file "$box/audit.yaml" --audit-log-path "$box/log/audit.log" --audit-log-maxsize 64 --audit-log-maxbackup 1
  wait_for 120 kube-apiserver "$programs/kubectl" --kubeconfig "$dir/kubeconfig" get --raw /readyz
  # With the usual 20 requests a second its controllers need 5 s to start. Nobody here asks for certificates,
  # and the controller that signs them takes four of the 128 inotify instances that a user has.
  service kube-controller-manager "$programs/kube-controller-manager" --kubeconfig "$box/controller-manager.kubeconfig" \
    --authentication-kubeconfig "$box/controller-manager.kubeconfig" --authorization-kubeconfig "$box/controller-manager.kubeconfig" \
    --use-service-account-credentials --root-ca-file "$certificates/ca.crt" \
    --service-account-private-key-file "$certificates/accounts.key" \
    --controllers '*,-certificatesigningrequest-signing-controller' \
    --kube-api-qps 500 --kube-api-burst 1000 --leader-elect=false --bind-address 127.0.0.1 \
    --node-monitor-period 2s --node-monitor-grace-period 16s --flex-volume-plugin-dir /var/lib/flex
  service kube-scheduler "$programs/kube-scheduler" --kubeconfig "$box/scheduler.kubeconfig" \
    --authentication-kubeconfig "$box/scheduler.kubeconfig" --authorization-kubeconfig "$box/scheduler.kubeconfig" \
    --leader-elect=false --bind-address 127.0.0.1
  # For the machine, which routes what it sends to Services here.
  service kube-proxy "$programs/kube-proxy" --config "$box/proxy.yaml"
}

node() { # NODE
  local image
  service containerd containerd --config "$box/containerd.toml"
  service kube-proxy "$programs/kube-proxy" --config "$box/proxy.yaml"
  service provisioner python3 "$dir/scripts/provisioner.py" "$1" "$dir/provisioner.json" "$box/volumes"
  service policies python3 "$dir/scripts/policies.py" "$1" "$dir/policies.json"
  wait_for 60 containerd ctr version
  # What was loaded while the node was down; what it had before it still has.
  for image in "$dir"/images/*.tar; do
    [ "$box/images/$(basename "$image")" -nt "$image" ] && continue
    ctr --namespace k8s.io images import "$image" >>"$box/log/images.log" 2>&1
    touch "$box/images/$(basename "$image")"
  done
  service kubelet "$programs/kubelet" --config "$box/kubelet.yaml" --kubeconfig "$box/kubelet.kubeconfig" \
    --hostname-override "$1" --node-ip "$(address_of "$1")" \
    --node-labels "topology.kubernetes.io/zone=zone-$1,topology.kubernetes.io/region=here"
}

private_view "$1"
if [ "$1" = cp ]; then control_plane; else node "$1"; fi
while :; do sleep 3600 & wait $! || true; done
