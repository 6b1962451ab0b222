#!/usr/bin/env python3
"""Enforces the NetworkPolicies that concern the pods of one node, with nftables.

  policies.py NODE API.json

The rules are in the forward hook: there the addresses are those of pods, as Services were translated
before, and traffic between two pods of the node is seen too (br_netfilter). What the node itself sends,
such as probes, is never dropped; a connection that was open before a policy came stays open. IPv4, TCP
and UDP only, and no pods on the network of their node: the cluster has none."""

import subprocess
import sys
import threading
import time

from api import Api, Mirror

TABLE = "policies"
KINDS = ("/api/v1/pods", "/api/v1/namespaces", "/apis/networking.k8s.io/v1/networkpolicies")
# What a policy calls them, where its peers are, and which addresses of a packet are theirs and the pod's.
DIRECTIONS = (("Egress", "to", "daddr", "saddr"), ("Ingress", "from", "saddr", "daddr"))


def matches(selector, labels):
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], expression.get("values") or []
        holds = {
            "In": key in labels and labels[key] in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds[expression["operator"]]:
            return False
    return True


def labels_of(item):
    return item["metadata"].get("labels") or {}


def address_of(pod):
    return pod["status"]["podIP"]


def is_on_the_network(pod):
    status = pod.get("status", {})
    has_ended = status.get("phase") in ("Succeeded", "Failed")
    return status.get("podIP") and not pod["spec"].get("hostNetwork") and not has_ended


def match_port(port, target):
    """The match of a port of a policy at a pod; None where the pod has no port of that name."""
    protocol, wanted = port.get("protocol", "TCP").lower(), port.get("port")
    if wanted is None:
        return f"meta l4proto {protocol}"
    if not isinstance(wanted, str):
        return f"{protocol} dport {wanted}-{port['endPort']}" if port.get("endPort") else f"{protocol} dport {wanted}"
    for container in target["spec"]["containers"]:
        for offered in container.get("ports") or []:
            if offered.get("name") == wanted and offered.get("protocol", "TCP").lower() == protocol:
                return f"{protocol} dport {offered['containerPort']}"
    return None


class Rules:
    """The table of one node, from all pods, namespaces and policies."""

    def __init__(self, node, pods, namespaces, policies):
        self.node, self.policies = node, policies
        self.pods = sorted(filter(is_on_the_network, pods), key=address_of)
        self.namespaces = {it["metadata"]["name"]: labels_of(it) for it in namespaces}

    def text(self):
        chains, jumps = [], []
        for pod in self.pods:
            if pod["spec"].get("nodeName") != self.node:
                continue
            for kind, key, theirs, own in DIRECTIONS:
                specs = [spec for spec in self.policies_of(pod) if kind in types_of(spec)]
                if not specs:
                    continue
                chain = f"{kind.lower()}_{address_of(pod).replace('.', '_')}"
                rules = [rule for spec in specs for rule in self.allowed(pod, spec.get(kind.lower()), key, theirs)]
                lines = [*dict.fromkeys(rules), "counter drop"]
                chains.append(f"  chain {chain} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n")
                jumps.append(f"    ip {own} {address_of(pod)} jump {chain}\n")
        return (
            f"add table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n"
            + "".join(chains)
            + "  chain forward {\n    type filter hook forward priority -5; policy accept;\n"
            + "    ct state established,related accept\n"
            + "".join(jumps)
            + "  }\n}\n"
        )

    def policies_of(self, pod):
        for policy in self.policies:
            if policy["metadata"]["namespace"] == pod["metadata"]["namespace"]:
                if matches(policy["spec"].get("podSelector") or {}, labels_of(pod)):
                    yield policy["spec"]

    def allowed(self, pod, rules, key, theirs):
        """What may pass, a line for each combination of peer and port."""
        for rule in rules or []:
            peers = [self.peer(pod, peer) for peer in rule.get(key) or []] or [("", None)]
            for where, chosen in peers:
                for port in rule.get("ports") or [None]:
                    if where is None:  # nobody is chosen
                        continue
                    if port is None:
                        yield f"{where.format(theirs)}return"
                    elif key == "to" and isinstance(port.get("port"), str):  # a name of each destination's own
                        for destination in self.pods if chosen is None else chosen:
                            if match := match_port(port, destination):
                                yield f"ip daddr {address_of(destination)} {match} return"
                    elif match := match_port(port, pod):
                        yield f"{where.format(theirs)}{match} return"

    def peer(self, pod, peer):
        """A match with a place for the direction, None when it is nobody's; and the pods, if it is about pods."""
        if block := peer.get("ipBlock"):
            where = f"ip {{0}} {block['cidr']} "
            if block.get("except"):
                where += f"ip {{0}} != {{{{ {', '.join(block['except'])} }}}} "
            return where, []
        chosen = [other for other in self.pods if self.is_chosen(other, pod["metadata"]["namespace"], peer)]
        if not chosen:
            return None, []
        return f"ip {{0}} {{{{ {', '.join(map(address_of, chosen))} }}}} ", chosen

    def is_chosen(self, pod, namespace, peer):
        own = pod["metadata"]["namespace"]
        if "namespaceSelector" in peer:
            if not matches(peer["namespaceSelector"], self.namespaces.get(own, {})):
                return False
        elif own != namespace:
            return False
        return matches(peer.get("podSelector") or {}, labels_of(pod))


def types_of(spec):
    return spec.get("policyTypes") or ["Ingress"] + (["Egress"] if "egress" in spec else [])


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    node, path = sys.argv[1:]
    api, wake = Api(path), threading.Event()
    mirrors = [Mirror(api, kind, wake) for kind in KINDS]
    in_force = None
    while True:
        wake.wait()
        time.sleep(0.05)  # changes come in swarms
        wake.clear()
        if any(mirror.items is None for mirror in mirrors):
            continue
        text = Rules(node, *(list(mirror.items.values()) for mirror in mirrors)).text()
        if text == in_force:
            continue
        done = subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True)
        if done.returncode == 0:
            in_force = text
        else:
            print(done.stderr, text, flush=True)


if __name__ == "__main__":
    main()
