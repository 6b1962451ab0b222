#!/usr/bin/env python3
"""What a cluster of cluster.sh could leave behind on this machine, a line for each thing.

  traces.py [FILE]     prints it; with a FILE that it printed before, compares, and ends with 1 when
                       something is there now that was not there then, is gone, or has another value

CAIRN_TRACES_EXCEPT=PATTERN leaves out what matches it, and every process in a control group that does: what
belongs to other clusters of this machine."""

import glob
import os
import re
import subprocess
import sys
import time

EXCEPT = re.compile(os.environ.get("CAIRN_TRACES_EXCEPT") or "(?!)")
PROGRAMS = re.compile(
    r"etcd|kube-\w+|kube-controller-manager|kubelet|containerd[\w-]*|runc|coredns|pause|cairn[\w-]*|pd-server"
    r"|cluster\.sh|box\.sh|provisioner\.py|policies\.py"
)
# What a kubelet, a proxy and a container runtime without a /var and /run of their own would make.
PATHS = """/run/containerd* /run/netns/* /run/runc /var/lib/containerd /var/lib/kubelet /var/lib/cni /var/lib/kube*
    /var/log/pods /var/log/containers /etc/cni/net.d/* /usr/libexec/kubernetes""".split()
# And what they would set, for the whole machine.
SETTINGS = """vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys
    kernel/keys/root_maxbytes net/ipv4/ip_forward net/ipv4/conf/all/route_localnet net/netfilter/nf_conntrack_max
    net/bridge/bridge-nf-call-iptables""".split()
COMMANDS = {
    "interface": ["ip", "-brief", "link"],
    "address": ["ip", "-brief", "address"],
    "route": ["ip", "route", "show", "table", "all"],
    "rule": ["ip", "rule"],
    "nftables": ["nft", "list", "ruleset"],
    "loop device of": ["losetup", "--list", "--noheadings", "--output", "BACK-FILE"],
}


def read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:  # it ended in the meantime
        return ""


def processes():
    """Those that a cluster is made of, and the namespaces and mounts of all that are not in the machine's own."""
    own = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt")}
    seen = set()
    for process in glob.glob("/proc/[0-9]*"):
        groups = read(f"{process}/cgroup")
        if EXCEPT.search(groups):
            continue
        words = [os.path.basename(word) for word in read(f"{process}/cmdline").split("\0")[:2]]
        # The program, or the script that it interprets.
        name = words[-1] if words[0] in ("bash", "python3") else words[0]
        if PROGRAMS.fullmatch(name):
            yield f"process {name}"
        for kind, mine in own.items():
            try:
                namespace = os.readlink(f"{process}/ns/{kind}")
            except OSError:
                continue
            if namespace == mine or namespace in seen:
                continue
            seen.add(namespace)
            yield f"namespace {namespace} of {words[0] or process}"
            if kind == "mnt":
                yield from (f"mount {line.split()[4]} in {namespace}" for line in read(f"{process}/mountinfo").splitlines())


def traces():
    yield from processes()
    for line in read("/proc/self/mountinfo").splitlines():
        yield f"mount {line.split()[4]}"
    for folder, _, _ in os.walk("/sys/fs/cgroup"):
        yield f"control group {folder}"
    for kind, command in COMMANDS.items():
        for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
            yield f"{kind} {' '.join(line.split())}"
    for path in PATHS:
        yield from (f"path {found}" for found in glob.glob(path))
    for setting in SETTINGS:
        yield f"setting {setting} {read('/proc/sys/' + setting).strip()}"


def listed():
    return sorted({line for line in traces() if not EXCEPT.search(line)})


def main():
    if len(sys.argv) == 1:
        print("\n".join(listed()))
        return
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    before = set(read(sys.argv[1]).splitlines())
    # Namespaces, and who is in them, end a moment after what ended them.
    for _ in range(20):
        now = set(listed())
        if now == before:
            return
        time.sleep(0.5)
    for line in sorted(now - before):
        print("left behind:", line, file=sys.stderr)
    for line in sorted(before - now):
        print("gone:", line, file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
