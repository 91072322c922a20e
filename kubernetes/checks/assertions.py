"""What must hold of every overlay. Each yields its problems as sentences; planted_faults.py shows that it can."""

import math
import re
from collections import Counter, defaultdict

import yaml

import definitions
from network import allowed, is_anybody, is_block, needed, unmatched
from rendered import Overlay, container, labels, matches, pod, port_number
from system import (
    ALLOWED_CONNECTIONS,
    DASHBOARDS,
    IMAGES,
    OTHERS_IMAGES,
    PROBE_PATHS,
    PROGRAMS,
    RUNTIME_VARIABLES,
    SERVICES,
    seconds,
)

ASSERTIONS = {}
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
# The runtime waits for blocking calls at the very end: LAST_WORDS in chassis/src/run.rs.
LAST_WORDS = 1
# PostgreSQL keeps these for its administrators.
RESERVED_CONNECTIONS = 3


def assertion(function):
    ASSERTIONS[function.__name__] = function
    return function


def is_production(overlay: Overlay) -> bool:
    return not overlay.name.startswith("local")


def setting(overlay: Overlay, name: str, key: str):
    """What a service works with: what is set, else its default."""
    return overlay.settings(overlay.deployments()[name]).get(key, SERVICES[name].get(key))


def selectors(expression: str) -> list[tuple[str, str]]:
    """The metrics of a PromQL expression, each with what stands in its braces."""
    expression = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", expression)
    found = re.findall(r"\b([a-z_][a-z_0-9]*)\b(?!\s*\()\s*(\{[^}]*\})?", expression)
    return [(metric, where) for metric, where in found if metric not in ("and", "or", "unless")]


@assertion
def every_service_is_whole(overlay: Overlay):
    for name in SERVICES:
        for kind in ("Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"):
            if overlay.get(kind, name) is None:
                yield f"{name} has no {kind}"
        if len(overlay.scaling(name)) != 1:
            yield f"{name} has {len(overlay.scaling(name))} autoscalers"
    for name in SERVICES.keys() - overlay.deployments().keys():
        yield f"{name} does not say that it is part of this fleet"
    for name in overlay.deployments().keys() - SERVICES.keys():
        yield f"{name} is no service of this fleet"


@assertion
def probes_differ_and_are_in_the_router(overlay: Overlay):
    for name, deployment in overlay.deployments().items():
        only = container(deployment)
        paths = [only.get(probe, {}).get("httpGet", {}).get("path") for probe in PROBES]
        if len(set(paths)) < len(PROBES):
            yield f"{name}: the probes' paths are not three different ones: {paths}"
        for path in paths:
            if path not in PROBE_PATHS:
                yield f"{name}: the router does not know {path}"


@assertion
def ports_are_those_of_the_binaries(overlay: Overlay):
    for name, deployment in overlay.deployments().items():
        listens = int(setting(overlay, name, "HTTP_PORT"))
        service = overlay.get("Service", name)["spec"]
        targets = [port.get("targetPort", port["port"]) for port in service["ports"]]
        targets += [container(deployment).get(probe, {}).get("httpGet", {}).get("port") for probe in PROBES]
        for target in targets:
            if port_number(deployment, target) != listens:
                yield f"{name} listens on {listens}, but port {target} is asked for"
        if setting(overlay, name, "HTTP_HOST") != "0.0.0.0":
            yield f"{name} listens where nobody outside its pod can reach it"
        chosen = {
            other
            for other, pods in overlay.workloads().items()
            if matches({"matchLabels": service["selector"]}, labels(pods))
        }
        if chosen != {name}:
            yield f"the Service {name} leads to {sorted(chosen)}"


@assertion
def grace_covers_the_stop(overlay: Overlay):
    for name, deployment in overlay.deployments().items():
        before = container(deployment).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed_time = (
            before
            + LAST_WORDS
            + sum(seconds(setting(overlay, name, key)) for key in ("HTTP_LAME_DUCK", "HTTP_DRAIN_TIMEOUT"))
        )
        if pod(deployment).get("terminationGracePeriodSeconds", 30) < needed_time:
            yield f"{name} is killed before its stop of up to {needed_time:g} s is over"
        if before + seconds(setting(overlay, name, "HTTP_LAME_DUCK")) < 2:
            yield f"{name} stops before everybody knows that it does"


@assertion
def images_are_those_that_are_made(overlay: Overlay):
    for name, program in overlay.programs().items():
        image = container(program)["image"]
        match = re.fullmatch(r"(?:[\w.-]+/)+([\w-]+):([\w.-]+)", image)
        if match is None or match[1] != name or name not in IMAGES:
            yield f"{name} runs {image}, which scripts/images does not make"
        elif match[2] == "latest":
            yield f"{name} runs whatever {image} is at the moment"
    for name in overlay.workloads().keys() - overlay.programs().keys():
        image = container(overlay.workloads()[name])["image"]
        if image not in OTHERS_IMAGES:
            yield f"{name} runs {image}, and compose another"


@assertion
def rollouts_take_nothing_away(overlay: Overlay):
    for name, deployment in overlay.deployments().items():
        strategy = deployment["spec"].get("strategy", {}).get("rollingUpdate", {})
        if strategy.get("maxUnavailable") != 0 or strategy.get("maxSurge") != 1:
            yield f"{name} rolls out with {strategy}"
        if "replicas" in deployment["spec"]:
            yield f"{name} states replicas, which are the autoscaler's"


@assertion
def budgets_leave_one_and_let_one_go(overlay: Overlay):
    for name, deployment in overlay.deployments().items():
        budgets = [
            b["spec"] for b in overlay.all("PodDisruptionBudget") if matches(b["spec"]["selector"], labels(deployment))
        ]
        if len(budgets) != 1:
            yield f"{name} has {len(budgets)} disruption budgets"
            continue
        smallest = min(low for low, _ in overlay.scaling(name))
        stay = budgets[0].get("minAvailable", smallest - budgets[0].get("maxUnavailable", 0))
        if stay >= smallest:
            yield f"{name}: a node with one of {smallest} replicas can never be drained"
        if smallest > 1 and stay < 1:
            yield f"{name}: all {smallest} replicas may be taken away at once"


@assertion
def autoscalers_can_compute(overlay: Overlay):
    for name, deployment in overlay.deployments().items():
        requests = container(deployment).get("resources", {}).get("requests", {})
        if "cpu" not in requests:
            yield f"{name} is scaled by its CPU and requests none"
        for low, high in overlay.scaling(name):
            if low > high:
                yield f"{name} is scaled from {low} to {high}"
    for scaler in overlay.all("HorizontalPodAutoscaler"):
        if scaler["spec"]["scaleTargetRef"]["name"] not in overlay.deployments():
            yield f"the autoscaler {scaler['metadata']['name']} scales what is not there"


@assertion
def production_has_two_of_each(overlay: Overlay):
    if not is_production(overlay):
        return
    for name in overlay.deployments():
        if any(low < 2 for low, _ in overlay.scaling(name)):
            yield f"{name} may run with a single replica"


@assertion
def lag_is_that_of_the_service(overlay: Overlay):
    for scaler in overlay.all("ScaledObject"):
        name = scaler["spec"]["scaleTargetRef"]["name"]
        if scaler["spec"]["maxReplicaCount"] > int(setting(overlay, name, "KAFKA_PARTITIONS")):
            yield f"{name} is scaled to more replicas than there are partitions"
        for trigger in (trigger["metadata"] for trigger in scaler["spec"]["triggers"] if trigger["type"] == "kafka"):
            for key, known in (("topic", "KAFKA_TOPIC"), ("consumerGroup", "KAFKA_GROUP")):
                if trigger[key] != setting(overlay, name, known):
                    yield f"{name} is scaled by the {key} {trigger[key]}"
            asked, used = trigger["bootstrapServers"], setting(overlay, name, "KAFKA_BROKERS")
            if asked.replace(".animal-hospital.svc:", ":") != used:
                yield f"{name} is scaled by the lag at {asked} and reads from {used}"


@assertion
def every_variable_is_a_setting(overlay: Overlay):
    for name, program in overlay.programs().items():
        for key in overlay.environment(program):
            if key.removesuffix("_FILE") not in PROGRAMS[name] and key not in PROGRAMS[name] | dict.fromkeys(
                RUNTIME_VARIABLES
            ):
                yield f"{name} knows no setting {key}"


@assertion
def nobody_is_looked_for_at_home(overlay: Overlay):
    for name, program in overlay.programs().items():
        settings = overlay.settings(program)
        for key, default in PROGRAMS[name].items():
            used = settings.get(key, default)
            if isinstance(used, str) and re.search(r"localhost|127\.0\.0\.1|sqlite:", used):
                yield f"{name}: {key} is still {used}"


@assertion
def secrets_are_files_that_exist(overlay: Overlay):
    for name, program in overlay.programs().items():
        files = overlay.secret_files(program)
        for key, value in overlay.environment(program).items():
            if value.startswith("/run/secrets/") and value not in files:
                yield f"{name}: {key} names {value}, which no Secret has"
            if re.search("(PASSWORD|SECRET)$", key) and isinstance(PROGRAMS[name].get(key), str):
                yield f"{name}: {key} is a secret in the environment"
            if re.search("://[^/@]*:[^/@]*@", value):
                yield f"{name}: {key} has a password in it"


@assertion
def a_changed_setting_rolls_the_deployment(overlay: Overlay):
    for name, program in overlay.programs().items():
        for reference in (source["configMapRef"]["name"] for source in container(program).get("envFrom", [])):
            if overlay.get("ConfigMap", reference) is None:
                yield f"{name} takes its settings from {reference}, which is not there"
            if not re.search(r"-[a-z0-9]{10}$", reference):
                yield f"{name}: the name {reference} stays the same when what is in it changes"


@assertion
def tokens_have_one_issuer(overlay: Overlay):
    issuer = setting(overlay, "oauth", "ISSUER_URL")
    for name in overlay.deployments():
        if setting(overlay, name, "AUTH_ISSUER") != issuer:
            yield f"{name} believes another issuer than {issuer}"


def replicas_at_once(overlay: Overlay, name: str) -> int:
    """All there may be, one more during a rollout, and those that are on their way out, with their connections: until
    their grace is over, and each gone no sooner than another was ready for as long as it has to be."""
    deployment = overlay.deployments()[name]
    most = max(high for _, high in overlay.scaling(name))
    grace = pod(deployment).get("terminationGracePeriodSeconds", 30)
    return most + 1 + min(most, math.ceil(grace / max(1, deployment["spec"].get("minReadySeconds", 0))))


@assertion
def connections_are_enough(overlay: Overlay):
    used = sum(
        replicas_at_once(overlay, name) * int(setting(overlay, name, "DATABASE_MAX_CONNECTIONS"))
        for name in overlay.deployments()
        if "DATABASE_URL" in SERVICES[name]
    )
    server = overlay.get("StatefulSet", "postgres")
    if server is None:
        if used != ALLOWED_CONNECTIONS:
            yield f"the services may open {used} connections, and docs/kubernetes.md says {ALLOWED_CONNECTIONS}"
        return
    limit = int(
        next(re.search(r"max_connections=(\d+)", word)[1] for word in container(server)["args"] if "max_conn" in word)
    )
    if used > limit - RESERVED_CONNECTIONS:
        yield f"the services may open {used} connections, and PostgreSQL takes {limit}"


@assertion
def each_database_has_one_owner(overlay: Overlay):
    for name in overlay.deployments():
        if "DATABASE_URL" in SERVICES[name]:
            url = setting(overlay, name, "DATABASE_URL")
            match = re.match(r"postgres://(\w+):[^@]*@([^/]+)/(\w+)", url)
            if match is None or {match[1], match[3]} != {name}:
                yield f"{name} goes to {url}"
                continue
            if match[2] != "postgres:5432" and "sslmode=verify-full" not in url:
                yield f"{name} goes to a database outside the cluster without verified TLS"


@assertion
def events_leave_the_cluster_encrypted(overlay: Overlay):
    for name in overlay.deployments():
        if "KAFKA_BROKERS" in SERVICES[name]:
            brokers, protocol = (setting(overlay, name, key) for key in ("KAFKA_BROKERS", "KAFKA_SECURITY_PROTOCOL"))
            if brokers != "kafka:9092" and protocol not in ("ssl", "sasl_ssl"):
                yield f"{name} goes to {brokers} by {protocol}"


@assertion
def policies_allow_what_is_called_and_nothing_else(overlay: Overlay):
    denied = [
        p
        for p in overlay.all("NetworkPolicy")
        if not p["spec"]["podSelector"] and "ingress" not in p["spec"] and "egress" not in p["spec"]
    ]
    if not any(set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"} for policy in denied):
        yield "nothing denies what is not allowed"
    calls, to_the_world = needed(overlay)
    out, beyond = allowed(overlay, "egress")
    into, entries = allowed(overlay, "ingress")
    for title, have in (("may not call", out), ("is not let in by", into)):
        yield from (f"{caller} {title} {callee} on {port}" for caller, callee, port in sorted(calls - have, key=str))
    for title, have in (("may call", out), ("is let in by", into)):
        yield from (
            f"{caller} {title} {callee} on {port}, and never does"
            for caller, callee, port in sorted(have - calls, key=str)
        )

    # To whom an address belongs only the overlay knows: it is the same for all that ask for one host.
    ways = defaultdict(set)
    expected = {(name, "kube-system/kube-dns", 53) for name in overlay.workloads()}
    for name, host, port in sorted(to_the_world):
        blocks = {entry for entry in beyond if entry[0] == name and entry[2] == port and is_block(entry[1])}
        ways[host, port].add(", ".join(sorted(peer for _, peer, _ in blocks)))
        expected |= blocks
        if not blocks:
            yield f"{name} may not go to {host} on {port}"
    for (host, port), blocks in ways.items():
        if len(blocks - {""}) > 1:
            yield f"{host} on {port} is at different addresses: {sorted(blocks)}"
    for name, peer, port in sorted(beyond | entries, key=str):
        if is_block(peer) and is_anybody(peer):
            yield f"{name} and {peer} on {port}: that is anybody"
    yield from (f"{name} may not go to {peer} on {port}" for name, peer, port in sorted(expected - beyond, key=str))
    yield from (
        f"{name} may go to {peer} on {port}, and never does" for name, peer, port in sorted(beyond - expected, key=str)
    )

    port = {name: int(setting(overlay, name, "HTTP_PORT")) for name in overlay.deployments()}
    expected = {(name, "monitoring/prometheus", port[name]) for name in overlay.deployments()}
    if overlay.all("ScaledObject") and "kafka" in overlay.workloads():
        expected.add(("kafka", "keda/keda-operator", 9092))
    yield from (f"{peer} may not reach {name}" for name, peer, _ in sorted(expected - entries, key=str))
    front = {entry for entry in entries - expected if entry[0] == "gateway" and entry[2] == port["gateway"]}
    if not front:
        yield "nobody reaches the gateway"
    yield from (
        f"{peer} may reach {name} on {port}" for name, peer, port in sorted(entries - expected - front, key=str)
    )


@assertion
def policies_are_about_somebody(overlay: Overlay):
    yield from (f"the policy {policy} is about {selector}, which is nobody" for policy, selector in unmatched(overlay))


@assertion
def everything_is_observed(overlay: Overlay):
    prometheus, grafana = overlay.get("StatefulSet", "prometheus"), overlay.get("Deployment", "grafana")
    if prometheus is None:
        return
    files = overlay.config_files(prometheus)
    settings = yaml.safe_load(files["prometheus.yml"])
    jobs = settings["scrape_configs"]
    yield from (f"Prometheus does not have {file}" for file in settings["rule_files"] if file not in files)
    read = {(job["job_name"], name) for job in jobs for found in job["dns_sd_configs"] for name in found["names"]}
    for name in SERVICES.keys() - {job for job, _ in read}:
        yield f"Prometheus does not read {name}"
    for job, name in sorted(read):
        if overlay.behind(name) != {job}:
            yield f"Prometheus reads {sorted(overlay.behind(name))} as {job}"
        service = (overlay.get("Service", name) or {}).get("spec", {})
        if service.get("clusterIP") != "None" or not service.get("publishNotReadyAddresses"):
            yield f"{name} does not lead to every replica, ready or not"
    missing = DASHBOARDS - overlay.config_files(grafana).keys()
    if missing:
        yield f"Grafana does not have {sorted(missing)}"


@assertion
def whoever_believes_a_proxy_is_reached_by_it_alone(overlay: Overlay):
    if setting(overlay, "gateway", "FORWARDED_TRUST") in ("true", True):
        _, entries = allowed(overlay, "ingress")
        if any(name == "gateway" and is_anybody(peer) for name, peer, _ in entries):
            yield "the gateway believes X-Forwarded-For from everywhere"


@assertion
def the_way_in_is_through_a_load_balancer(overlay: Overlay):
    """Of Azure's, a Gateway is nobody's until it says by which."""
    by = "alb.networking.azure.io/alb-"
    for gateway in overlay.all("Gateway"):
        named = {key.removeprefix(by) for key in gateway["metadata"].get("annotations", {}) if key.startswith(by)}
        is_azures = gateway["spec"]["gatewayClassName"].startswith("azure-alb")
        if is_azures and "id" not in named and not {"name", "namespace"} <= named:
            yield f"the Gateway {gateway['metadata']['name']} does not say through which load balancer"


@assertion
def production_is_watched(overlay: Overlay):
    if is_production(overlay):
        yield from (f"there is no {kind}" for kind in ("ServiceMonitor", "PrometheusRule") if not overlay.all(kind))


@assertion
def alerts_are_about_this_fleet(overlay: Overlay):
    """A Prometheus may read others as well, and it has nothing of a service without a single replica."""
    rules = overlay.alerts()
    for rule in rules:
        for metric, where in selectors(rule["expr"]):
            jobs = re.search(r'\bjob=~?"([\w|]+)"', where)
            if jobs is None or not set(jobs[1].split("|")) <= SERVICES.keys():
                yield f"{rule['alert']} asks for {metric} of others"
    asked = [(rule["expr"], metric, where) for rule in rules for metric, where in selectors(rule["expr"])]
    for name in SERVICES if rules else []:
        ups = [where for expr, metric, where in asked if metric == "up" and "absent" not in expr]
        if not any(re.search(rf"\b{name}\b", where) for where in ups):
            yield f"nobody is told that {name} is down"
        if not any(f'absent(up{{job="{name}"}})' in rule["expr"] for rule in rules):
            yield f"nobody is told that there is no {name} at all"


@assertion
def production_names_its_runbooks(overlay: Overlay):
    for rule in overlay.alerts() if is_production(overlay) else []:
        if not rule["annotations"]["runbook_url"].startswith("https://"):
            yield f"{rule['alert']} leads to {rule['annotations']['runbook_url']}, which is no address"


@assertion
def operators_kinds_are_as_defined(overlay: Overlay):
    for thing in overlay.objects:
        yield from (f"{thing['kind']} {thing['metadata']['name']}: {what}" for what in definitions.problems(thing))


@assertion
def the_namespace_admits_restricted_pods_only(overlay: Overlay):
    for namespace in overlay.all("Namespace"):
        if namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{namespace['metadata']['name']} admits pods that are not restricted"
    homeless = [
        thing["metadata"]["name"]
        for thing in overlay.objects
        if thing["kind"] != "Namespace" and not thing["metadata"].get("namespace")
    ]
    if homeless:
        yield f"without a namespace: {homeless}"


@assertion
def no_two_objects_are_the_same(overlay: Overlay):
    counted = Counter((thing["kind"], thing["metadata"]["name"]) for thing in overlay.objects)
    yield from (f"{kind} {name} is there twice" for (kind, name), count in counted.items() if count > 1)
