"""Who may reach whom, by the policies; and who has to, by the settings."""

import ipaddress
import itertools
import re

import yaml

from rendered import Overlay, labels, matches, port_number

# The widest network that is anybody's own, as 10.0.0.0/8 is; what is wider is the world.
WIDEST_NETWORK = 8
# Not called: the issuer is a name that tokens bear, and oauth knows its own keys without asking.
NOT_CALLED = {"AUTH_ISSUER", "ISSUER_URL"}


def _addresses(settings: dict[str, str]) -> list[tuple[str, int]]:
    found = []
    for key, value in settings.items():
        if key in NOT_CALLED:
            continue
        if key == "KAFKA_BROKERS":
            found += [(host, int(port)) for host, port in re.findall(r"([^:,\s]+):(\d+)", value)]
        elif match := re.match(r"\w+://(?:[^@]*@)?([^:/?]+):(\d+)", value):
            found.append((match[1], int(match[2])))
    return found


def _asked(files: dict[str, str]):
    """Whom others' programs are told to ask: Grafana its data sources, Prometheus what each name leads to."""
    for key, text in files.items():
        document = yaml.safe_load(text) if key.endswith(".yml") else {}
        yield from _addresses({source["uid"]: source["url"] for source in document.get("datasources", [])})
        for job in document.get("scrape_configs", []):
            yield from ((name, found["port"]) for found in job["dns_sd_configs"] for name in found["names"])


def needed(overlay: Overlay) -> tuple[set, set]:
    """Calls inside the cluster as (caller, callee, port), and to the world as (caller, host, port)."""
    inside, outside = set(), set()
    for caller, workload in overlay.workloads().items():
        for host, port in [*_addresses(overlay.settings(workload)), *_asked(overlay.config_files(workload))]:
            callees = overlay.behind(host)
            inside |= {(caller, callee, port) for callee in callees if callee != caller}
            if not callees:
                outside.add((caller, host, port))
    return inside, outside


def _rules(overlay: Overlay, direction: str, workload: dict):
    for policy in overlay.all("NetworkPolicy"):
        spec = policy["spec"]
        if direction.capitalize() in spec["policyTypes"] and matches(spec.get("podSelector"), labels(workload)):
            yield from spec.get(direction, [])


def _ports(rule: dict, target: dict | None) -> set:
    ports = [entry["port"] for entry in rule.get("ports", [])]
    return {port_number(target, port) if target else port for port in ports}


def allowed(overlay: Overlay, direction: str) -> tuple[set, set]:
    """What one direction's policies let through: between pods here, and across the border as (pod, peer, port)."""
    inside, across = set(), set()
    workloads = overlay.workloads()
    end = "from" if direction == "ingress" else "to"
    for name, workload in workloads.items():
        for rule in _rules(overlay, direction, workload):
            here = workload if direction == "ingress" else None
            if end not in rule:
                across |= {(name, "everywhere", port) for port in _ports(rule, here) or {None}}
            for peer in rule.get(end, []):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    for other, candidate in workloads.items():
                        if matches(peer["podSelector"], labels(candidate)):
                            pair = (other, name) if direction == "ingress" else (name, other)
                            callee = workload if direction == "ingress" else candidate
                            inside |= {(*pair, port) for port in _ports(rule, callee) or {None}}
                else:
                    across |= {(name, _describe(peer), port) for port in _ports(rule, here) or {None}}
    return inside, across


def _describe(peer: dict) -> str:
    if "ipBlock" in peer:
        return " but ".join([peer["ipBlock"]["cidr"], *peer["ipBlock"].get("except", [])])
    namespace = peer["namespaceSelector"].get("matchLabels", {}).get("kubernetes.io/metadata.name", "any namespace")
    chosen = peer.get("podSelector", {}).get("matchLabels", {})
    return "/".join([namespace, *chosen.values()])


def is_block(peer: str) -> bool:
    """Addresses, and not the pods of a namespace: `10.0.0.0/8`, but not `monitoring/prometheus`."""
    return bool(re.match(r"[\da-f.:]+/\d+\b", peer))


def is_anybody(peer: str) -> bool:
    """Whether what is described is no border at all."""
    if is_block(peer):
        return ipaddress.ip_network(peer.split()[0]).prefixlen < WIDEST_NETWORK
    return peer == "everywhere"


def unmatched(overlay: Overlay):
    """Selectors of policies that are nobody here, each name in a list by itself, as (policy, selector)."""
    chosen = [labels(workload) for workload in overlay.workloads().values()]
    for policy in overlay.all("NetworkPolicy"):
        spec = policy["spec"]
        rules = [*spec.get("ingress", []), *spec.get("egress", [])]
        peers = [peer for rule in rules for peer in (*rule.get("from", []), *rule.get("to", []))]
        selectors = [peer["podSelector"] for peer in peers if "podSelector" in peer and "namespaceSelector" not in peer]
        for selector in [spec.get("podSelector") or {}, *selectors]:
            for one in _one_by_one(selector):
                if not any(matches(one, candidate) for candidate in chosen):
                    yield policy["metadata"]["name"], one["matchLabels"]


def _one_by_one(selector: dict):
    """A selector that names several values, as those that name one each."""
    rules = selector.get("matchExpressions", [])
    lists = [[(rule["key"], value) for value in rule["values"]] for rule in rules if rule["operator"] == "In"]
    others = [rule for rule in rules if rule["operator"] != "In"]
    for names in itertools.product(*lists):
        yield {"matchLabels": selector.get("matchLabels", {}) | dict(names), "matchExpressions": others}
