# What the programs of a cluster read: certificates, kubeconfigs, the settings of each box. Sourced, not run.

# One authority for each cluster, which goes with it. Elliptic curves: all keys are made in a second.
new_authority() {
  mkdir -p "$certificates"
  new_key ca
  new_key accounts
  openssl req -x509 -new -key "$certificates/ca.key" -subj /CN=cairn-cluster -days 30 -out "$certificates/ca.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
  openssl ec -in "$certificates/accounts.key" -pubout -out "$certificates/accounts.pub" 2>/dev/null
}
new_key() { (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$certificates/$1.key"); }

# For a server and a client in one.
new_certificate() { # NAME SUBJECT [ALTERNATIVE-NAMES]
  local extensions
  extensions='basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth'
  [ -z "${3:-}" ] || extensions+=$'\n'"subjectAltName=$3"
  new_key "$1"
  openssl req -new -key "$certificates/$1.key" -subj "$2" |
    openssl x509 -req -CA "$certificates/ca.crt" -CAkey "$certificates/ca.key" -set_serial "0x$(openssl rand -hex 8)" \
      -days 30 -extfile <(echo "$extensions") -out "$certificates/$1.crt" 2>/dev/null
}

# With everything in it, so that it can be copied elsewhere.
write_kubeconfig() { # CERTIFICATE FILE
  (umask 077 && cat >"$2" <<YAML)
apiVersion: v1
kind: Config
clusters:
- name: cairn
  cluster:
    server: $server
    certificate-authority-data: $(base64 -w0 <"$certificates/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 <"$certificates/$1.crt")
    client-key-data: $(base64 -w0 <"$certificates/$1.key")
contexts:
- name: cairn
  context: {cluster: cairn, user: $1}
current-context: cairn
YAML
}

# Every certificate that there is before the first program starts, the nodes' own included.
write_certificates() { # NODES
  local node name making=()
  new_authority
  new_certificate apiserver /CN=kube-apiserver \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$nodes.1,IP:$services.1" &
  making+=($!)
  new_certificate apiserver-kubelet /O=system:masters/CN=apiserver-kubelet &
  making+=($!)
  new_certificate admin /O=system:masters/CN=admin &
  making+=($!)
  for name in controller-manager scheduler proxy; do
    new_certificate "$name" "/CN=system:kube-$name" &
    making+=($!)
  done
  for name in provisioner policies; do
    new_certificate "$name" "/CN=cairn:$name" &
    making+=($!)
  done
  for node in $(seq "$1"); do
    new_certificate "n$node" "/O=system:nodes/CN=system:node:n$node" "DNS:n$node,IP:$nodes.$((10 + node))" &
    making+=($!)
  done
  for name in "${making[@]}"; do wait "$name" || die "openssl made no certificate"; done
}

write_control_plane() {
  local box=$dir/box/cp agent
  mkdir -p "$box"
  write_kubeconfig admin "$dir/kubeconfig"
  write_kubeconfig controller-manager "$box/controller-manager.kubeconfig"
  write_kubeconfig scheduler "$box/scheduler.kubeconfig"
  write_proxy cp
  for agent in provisioner policies; do
    jq -n --arg server "$server" --arg of "$certificates" --arg agent "$agent" \
      '{server: $server, ca: "\($of)/ca.crt", certificate: "\($of)/\($agent).crt", key: "\($of)/\($agent).key"}' >"$dir/$agent.json"
  done
  # Who wrote what, for stories that ask.
  cat >"$box/audit.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, verbs: [get, list, watch]}
- {level: None, resources: [{group: coordination.k8s.io}, {group: "", resources: [events]}, {group: events.k8s.io}]}
- {level: Metadata}
YAML
  echo 0 >"$box/index"
}

write_proxy() { # BOX
  local box=$dir/box/$1
  write_kubeconfig proxy "$box/proxy.kubeconfig"
  # Limits of connection tracking are the machine's: they are left alone.
  cat >"$box/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: $1
clusterCIDR: $all_pods
clientConnection: {kubeconfig: $box/proxy.kubeconfig}
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {minSyncPeriod: 200ms}
YAML
}

write_node() { # NODE INDEX
  local box=$dir/box/$1
  mkdir -p "$box/cni"
  write_kubeconfig "$1" "$box/kubelet.kubeconfig"
  write_proxy "$1"
  : >"$box/resolv.conf"
  # restrict_oom_score_adj, and the kubelet's oomScoreAdj and maxOpenFiles: not every root may raise them.
  cat >"$box/containerd.toml" <<TOML
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "cairn.local/pause:1"
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
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$(pods_of "$2")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
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
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $certificates/ca.crt}, webhook: {enabled: true}}
authorization: {mode: Webhook}
tlsCertFile: $certificates/$1.crt
tlsPrivateKeyFile: $certificates/$1.key
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
  echo "$2" >"$box/index"
}
