"""For each assertion at least one fault that it must find."""

from collections.abc import Callable
from dataclasses import dataclass

from rendered import Overlay, container, pod


@dataclass
class Fault:
    assertion: str
    what: str
    plant: Callable[[Overlay], object]
    overlay: str = "local"


def deployment(overlay: Overlay, name: str) -> dict:
    return overlay.deployments()[name]


def set_variable(overlay: Overlay, name: str, key: str, value: str) -> None:
    container(overlay.programs()[name]).setdefault("env", []).append({"name": key, "value": value})


def remove(overlay: Overlay, kind: str, name: str) -> None:
    overlay.objects.remove(overlay.get(kind, name))


def spec(overlay: Overlay, kind: str, name: str) -> dict:
    return overlay.get(kind, name)["spec"]


def policy(name: str, direction: str, rule: dict, selected: str) -> dict:
    chosen = {"matchLabels": {"app.kubernetes.io/name": selected}}
    rules = {"podSelector": chosen, "policyTypes": [direction.capitalize()], direction: [rule]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": rules}


def config(overlay: Overlay, name: str) -> dict:
    return next(c for c in overlay.all("ConfigMap") if c["metadata"]["name"].rpartition("-")[0] == name)["data"]


def replace(files: dict, key: str, old: str, new: str) -> None:
    files[key] = files[key].replace(old, new)


def alert(overlay: Overlay, name: str) -> dict:
    return next(rule for rule in overlay.alerts() if rule["alert"] == name)


def block(overlay: Overlay, name: str, direction: str) -> dict:
    rule = spec(overlay, "NetworkPolicy", name)[direction][0]
    return rule["from" if direction == "ingress" else "to"][0]["ipBlock"]


def peer(name: str) -> dict:
    return {"podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}}


FAULTS = [
    Fault("every_service_is_whole", "a service account is missing", lambda o: remove(o, "ServiceAccount", "notice")),
    Fault(
        "every_service_is_whole",
        "a service that is no part of the fleet",
        lambda o: deployment(o, "notice")["spec"]["template"]["metadata"]["labels"].pop("app.kubernetes.io/part-of"),
    ),
    Fault(
        "every_service_is_whole", "an autoscaler is missing", lambda o: remove(o, "HorizontalPodAutoscaler", "lookup")
    ),
    Fault(
        "every_service_is_whole",
        "an autoscaler beside KEDA's",
        lambda o: o.objects.append(
            {
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "x"},
                "spec": {"scaleTargetRef": {"name": "lookup"}, "minReplicas": 1, "maxReplicas": 2},
            }
        ),
        "local-keda",
    ),
    Fault(
        "probes_differ_and_are_in_the_router",
        "liveness asks what readiness asks",
        lambda o: container(deployment(o, "lookup")).update(
            livenessProbe=container(deployment(o, "lookup"))["readinessProbe"]
        ),
    ),
    Fault(
        "probes_differ_and_are_in_the_router",
        "a path that nobody serves",
        lambda o: container(deployment(o, "lookup"))["startupProbe"]["httpGet"].update(path="/healthz"),
    ),
    Fault(
        "ports_are_those_of_the_binaries",
        "it listens elsewhere",
        lambda o: set_variable(o, "notice", "HTTP_PORT", "8082"),
    ),
    Fault(
        "ports_are_those_of_the_binaries",
        "it listens to itself",
        lambda o: set_variable(o, "notice", "HTTP_HOST", "127.0.0.1"),
    ),
    Fault(
        "ports_are_those_of_the_binaries",
        "a Service that leads to all",
        lambda o: spec(o, "Service", "notice")["selector"].pop("app.kubernetes.io/name"),
    ),
    Fault("grace_covers_the_stop", "a longer drain", lambda o: set_variable(o, "gateway", "HTTP_DRAIN_TIMEOUT", "1m")),
    Fault(
        "grace_covers_the_stop",
        "a shorter grace",
        lambda o: pod(deployment(o, "gateway")).update(terminationGracePeriodSeconds=25),
    ),
    Fault("grace_covers_the_stop", "no lame duck", lambda o: set_variable(o, "gateway", "HTTP_LAME_DUCK", "0s")),
    Fault(
        "images_are_those_that_are_made",
        "another's image",
        lambda o: container(deployment(o, "notice")).update(image="animal-hospital/lookup:local"),
    ),
    Fault(
        "images_are_those_that_are_made",
        "no tag",
        lambda o: container(deployment(o, "notice")).update(image="animal-hospital/notice"),
    ),
    Fault(
        "images_are_those_that_are_made",
        "a tag that moves",
        lambda o: container(deployment(o, "notice")).update(image="animal-hospital/notice:latest"),
    ),
    Fault(
        "images_are_those_that_are_made",
        "another PostgreSQL than in compose",
        lambda o: container(o.get("StatefulSet", "postgres")).update(image="postgres:17"),
    ),
    Fault(
        "images_are_those_that_are_made",
        "another Grafana than in compose",
        lambda o: container(o.get("Deployment", "grafana")).update(image="grafana/grafana:12.0.0"),
        "local-observed",
    ),
    Fault(
        "images_are_those_that_are_made",
        "reconcile from elsewhere",
        lambda o: container(o.get("CronJob", "reconcile")).update(image="example.com/reconciler:1"),
    ),
    Fault(
        "rollouts_take_nothing_away",
        "one may be missing",
        lambda o: deployment(o, "oauth")["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
    ),
    Fault(
        "rollouts_take_nothing_away", "replicas are stated", lambda o: deployment(o, "oauth")["spec"].update(replicas=2)
    ),
    Fault(
        "budgets_leave_one_and_let_one_go",
        "a budget that keeps all",
        lambda o: (
            spec(o, "PodDisruptionBudget", "oauth").pop("maxUnavailable"),
            spec(o, "PodDisruptionBudget", "oauth").update(minAvailable=2),
        ),
    ),
    Fault(
        "budgets_leave_one_and_let_one_go",
        "a budget that keeps none",
        lambda o: spec(o, "PodDisruptionBudget", "oauth").update(maxUnavailable=2),
    ),
    Fault(
        "budgets_leave_one_and_let_one_go",
        "a budget over everything",
        lambda o: spec(o, "PodDisruptionBudget", "oauth").update(selector={}),
    ),
    Fault(
        "autoscalers_can_compute",
        "no CPU is requested",
        lambda o: container(deployment(o, "notice"))["resources"]["requests"].pop("cpu"),
    ),
    Fault(
        "autoscalers_can_compute",
        "it scales nothing",
        lambda o: spec(o, "HorizontalPodAutoscaler", "notice")["scaleTargetRef"].update(name="notices"),
    ),
    Fault(
        "production_has_two_of_each",
        "one is enough",
        lambda o: spec(o, "HorizontalPodAutoscaler", "gateway").update(minReplicas=1),
        "azure",
    ),
    Fault(
        "lag_is_that_of_the_service",
        "more replicas than partitions",
        lambda o: spec(o, "ScaledObject", "lookup").update(maxReplicaCount=7),
        "local-keda",
    ),
    Fault(
        "lag_is_that_of_the_service",
        "another's group",
        lambda o: spec(o, "ScaledObject", "lookup")["triggers"][0]["metadata"].update(consumerGroup="notice"),
        "azure",
    ),
    Fault(
        "lag_is_that_of_the_service",
        "another Kafka",
        lambda o: spec(o, "ScaledObject", "lookup")["triggers"][0]["metadata"].update(bootstrapServers="kafka:9092"),
        "azure",
    ),
    Fault(
        "every_variable_is_a_setting", "a misspelt variable", lambda o: set_variable(o, "gateway", "HTTP_PROT", "8080")
    ),
    Fault(
        "every_variable_is_a_setting",
        "another service's setting",
        lambda o: set_variable(o, "gateway", "KAFKA_TOPIC", "animal"),
    ),
    Fault(
        "every_variable_is_a_setting",
        "a misspelt variable of the nightly comparison",
        lambda o: set_variable(o, "reconcile", "SERVICES_LOOKUPS", "http://lookup:8080"),
    ),
    Fault(
        "nobody_is_looked_for_at_home",
        "a default is left",
        lambda o: set_variable(o, "reservation", "DIAGNOSIS_URL", "http://localhost:8083"),
    ),
    Fault(
        "nobody_is_looked_for_at_home",
        "reconcile asks itself",
        lambda o: set_variable(o, "reconcile", "SERVICES_LOOKUP", "http://localhost:8084"),
    ),
    Fault(
        "secrets_are_files_that_exist",
        "a key that is not there",
        lambda o: set_variable(o, "oauth", "USERS_FILE", "/run/secrets/fleet/user.toml"),
    ),
    Fault(
        "secrets_are_files_that_exist",
        "reconcile's secret is not mounted",
        lambda o: pod(o.get("CronJob", "reconcile")).update(volumes=[]),
    ),
    Fault(
        "secrets_are_files_that_exist",
        "a password in an address",
        lambda o: set_variable(o, "oauth", "DATABASE_URL", "postgres://oauth:x@postgres:5432/oauth"),
    ),
    Fault(
        "secrets_are_files_that_exist",
        "a password in the open",
        lambda o: set_variable(o, "reservation", "CREDENTIALS_CLIENT_SECRET", "x"),
    ),
    Fault(
        "a_changed_setting_rolls_the_deployment",
        "a name without a hash",
        lambda o: container(deployment(o, "oauth"))["envFrom"].append({"configMapRef": {"name": "fleet"}}),
    ),
    Fault(
        "a_changed_setting_rolls_the_deployment",
        "reconcile's settings without a hash",
        lambda o: container(o.get("CronJob", "reconcile"))["envFrom"].append({"configMapRef": {"name": "reconcile"}}),
    ),
    Fault(
        "tokens_have_one_issuer",
        "another issuer",
        lambda o: set_variable(o, "lookup", "AUTH_ISSUER", "http://gateway:8080"),
    ),
    Fault(
        "nobody_is_looked_for_at_home",
        "a database of its own",
        lambda o: set_variable(o, "notice", "DATABASE_URL", "sqlite:notice.db"),
    ),
    Fault(
        "connections_are_enough", "more of them", lambda o: set_variable(o, "lookup", "DATABASE_MAX_CONNECTIONS", "100")
    ),
    Fault(
        "connections_are_enough",
        "no room for replicas on their way out",
        lambda o: container(o.get("StatefulSet", "postgres")).update(args=["postgres", "-c", "max_connections=400"]),
    ),
    Fault(
        "connections_are_enough",
        "more of them than the guide says",
        lambda o: set_variable(o, "lookup", "DATABASE_MAX_CONNECTIONS", "11"),
        "azure",
    ),
    Fault(
        "each_database_has_one_owner",
        "lookup in another's database",
        lambda o: set_variable(o, "lookup", "DATABASE_URL", "postgres://lookup:x@postgres:5432/notice"),
    ),
    Fault(
        "each_database_has_one_owner",
        "no TLS to the world",
        lambda o: set_variable(o, "lookup", "DATABASE_URL", "postgres://lookup:x@db.example.com:5432/lookup"),
        "azure",
    ),
    Fault(
        "events_leave_the_cluster_encrypted",
        "no TLS to the world",
        lambda o: set_variable(o, "lookup", "KAFKA_SECURITY_PROTOCOL", "sasl_plaintext"),
        "azure",
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "nothing is denied",
        lambda o: remove(o, "NetworkPolicy", "default-deny"),
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "a call without a policy",
        lambda o: set_variable(o, "notice", "CHANNEL_URL", "http://lookup:8080"),
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "one end allows what the other does not",
        lambda o: o.objects.append(
            policy("x", "ingress", {"from": [peer("notice")], "ports": [{"port": "http"}]}, "lookup")
        ),
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "the gateway may go to the database",
        lambda o: o.objects.append(
            policy("x", "egress", {"to": [peer("postgres")], "ports": [{"port": "postgres"}]}, "gateway")
        ),
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "the database is open to the world",
        lambda o: o.objects.append(policy("x", "ingress", {"ports": [{"port": "postgres"}]}, "postgres")),
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "a service may go anywhere",
        lambda o: o.objects.append(policy("x", "egress", {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}, "lookup")),
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "Prometheus is kept out",
        lambda o: remove(o, "NetworkPolicy", "metrics"),
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "no names are resolved",
        lambda o: remove(o, "NetworkPolicy", "names"),
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "production's database is not reached",
        lambda o: remove(o, "NetworkPolicy", "to-postgres"),
        "azure",
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "production's database may be anywhere",
        lambda o: block(o, "to-postgres", "egress").update(cidr="0.0.0.0/0"),
        "azure",
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "one looks for Kafka in another network",
        lambda o: o.objects.append(
            policy("x", "egress", {"to": [{"ipBlock": {"cidr": "10.9.0.0/24"}}], "ports": [{"port": 9093}]}, "lookup")
        ),
        "azure",
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "the nightly comparison is kept out",
        lambda o: remove(o, "NetworkPolicy", "from-reconcile"),
    ),
    Fault(
        "policies_are_about_somebody",
        "a misspelt caller",
        lambda o: o.objects.append(
            policy("x", "ingress", {"from": [peer("gatewey")], "ports": [{"port": "http"}]}, "lookup")
        ),
    ),
    Fault(
        "policies_are_about_somebody",
        "one of several names is nobody's",
        lambda o: spec(o, "NetworkPolicy", "oauth")["ingress"][0]["from"][0]["podSelector"]["matchExpressions"][0][
            "values"
        ].append("pharmacy"),
    ),
    Fault(
        "policies_are_about_somebody",
        "a policy for nobody",
        lambda o: o.objects.append(policy("x", "ingress", {"ports": [{"port": "http"}]}, "pharmacy")),
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "traces are not let in",
        lambda o: remove(o, "NetworkPolicy", "jaeger"),
        "local-observed",
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "Prometheus beside the fleet is kept out",
        lambda o: remove(o, "NetworkPolicy", "from-prometheus"),
        "local-observed",
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "a service asks Prometheus",
        lambda o: o.objects.append(
            policy("x", "ingress", {"from": [peer("lookup")], "ports": [{"port": "http"}]}, "prometheus")
        ),
        "local-observed",
    ),
    Fault(
        "policies_allow_what_is_called_and_nothing_else",
        "Grafana asks a Prometheus that is elsewhere",
        lambda o: replace(config(o, "grafana"), "datasources.yml", "prometheus:9090", "example.com:9090"),
        "local-observed",
    ),
    Fault(
        "everything_is_observed",
        "a service is not read",
        lambda o: replace(config(o, "prometheus"), "prometheus.yml", "job_name: notice", "job_name: lookup"),
        "local-observed",
    ),
    Fault(
        "everything_is_observed",
        "a service is read as another",
        lambda o: spec(o, "Service", "lookup-replicas")["selector"].update({"app.kubernetes.io/name": "notice"}),
        "local-observed",
    ),
    Fault(
        "everything_is_observed",
        "a replica that is not ready is not missed",
        lambda o: spec(o, "Service", "lookup-replicas").pop("publishNotReadyAddresses"),
        "local-observed",
    ),
    Fault(
        "everything_is_observed",
        "a dashboard is left out",
        lambda o: config(o, "dashboards").pop("sagas.json"),
        "local-observed",
    ),
    Fault(
        "everything_is_observed",
        "rules are left out",
        lambda o: config(o, "alerts").pop("alerts-cluster.yml"),
        "local-observed",
    ),
    Fault(
        "production_is_watched",
        "nobody is alerted",
        lambda o: remove(o, "PrometheusRule", "animal-hospital"),
        "azure",
    ),
    Fault(
        "alerts_are_about_this_fleet",
        "whoever is down",
        lambda o: alert(o, "ServiceDown").update(expr="up == 0"),
        "azure",
    ),
    Fault(
        "alerts_are_about_this_fleet",
        "the errors of others",
        lambda o: alert(o, "ErrorRate").update(expr='sum by (job) (rate(errors_total{job="others"}[5m])) > 1'),
        "azure",
    ),
    Fault(
        "alerts_are_about_this_fleet",
        "one is not looked at",
        lambda o: alert(o, "ServiceDown").update(expr=alert(o, "ServiceDown")["expr"].replace("lookup|", "")),
        "local+alerts",
    ),
    Fault(
        "alerts_are_about_this_fleet",
        "one is not missed",
        lambda o: replace(config(o, "alerts"), "alerts-cluster.yml", 'or absent(up{job="notice"})', ""),
        "local-observed",
    ),
    Fault(
        "production_names_its_runbooks",
        "a path is no address",
        lambda o: alert(o, "ServiceDown")["annotations"].update(runbook_url="docs/operate.md#servicedown"),
        "azure",
    ),
    Fault(
        "operators_kinds_are_as_defined",
        "a misspelt field",
        lambda o: spec(o, "ScaledObject", "lookup").update(maxReplicas=6),
        "azure",
    ),
    Fault(
        "operators_kinds_are_as_defined",
        "a word for a number",
        lambda o: spec(o, "Gateway", "animal-hospital")["listeners"][0].update(port="http"),
        "azure",
    ),
    Fault(
        "operators_kinds_are_as_defined",
        "a kind that nobody defines",
        lambda o: o.get("ExternalSecret", "lookup").update(kind="ExternSecret"),
        "azure",
    ),
    Fault(
        "whoever_believes_a_proxy_is_reached_by_it_alone",
        "trust without a border",
        lambda o: set_variable(o, "gateway", "FORWARDED_TRUST", "true"),
    ),
    Fault(
        "whoever_believes_a_proxy_is_reached_by_it_alone",
        "a border around everybody",
        lambda o: block(o, "gateway", "ingress").update(cidr="0.0.0.0/0"),
        "azure",
    ),
    Fault(
        "the_way_in_is_through_a_load_balancer",
        "it does not say which",
        lambda o: o.get("Gateway", "animal-hospital")["metadata"]["annotations"].pop(
            "alb.networking.azure.io/alb-namespace"
        ),
        "azure",
    ),
    Fault(
        "the_namespace_admits_restricted_pods_only",
        "the baseline is enough",
        lambda o: o.all("Namespace")[0]["metadata"]["labels"].update(
            {"pod-security.kubernetes.io/enforce": "baseline"}
        ),
    ),
    Fault("no_two_objects_are_the_same", "a policy twice", lambda o: o.objects.append(o.get("NetworkPolicy", "names"))),
]
