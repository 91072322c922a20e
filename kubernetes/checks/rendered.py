"""An overlay as kustomize renders it, and what its objects mean together."""

from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from system import COMMANDS, NAMESPACE


def matches(selector: dict | None, labels: dict) -> bool:
    """A label selector as Kubernetes reads it: an empty one selects everything."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        value, operator = labels.get(rule["key"]), rule["operator"]
        if operator not in ("In", "Exists"):
            raise ValueError(f"{operator} is not used here, so it is not understood here")
        if value is None or (operator == "In" and value not in rule["values"]):
            return False
    return True


@dataclass
class Overlay:
    name: str
    objects: list[dict] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Overlay":
        documents = yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        return cls(path.stem, [document for document in documents if document])

    def all(self, kind: str) -> list[dict]:
        return [thing for thing in self.objects if thing["kind"] == kind]

    def get(self, kind: str, name: str) -> dict | None:
        return next((thing for thing in self.all(kind) if thing["metadata"]["name"] == name), None)

    def deployments(self) -> dict[str, dict]:
        """The services; what others have made is no part of the fleet, and does not bear its label."""
        part = {"matchLabels": {"app.kubernetes.io/part-of": "animal-hospital"}}
        return {thing["metadata"]["name"]: thing for thing in self.all("Deployment") if matches(part, labels(thing))}

    def programs(self) -> dict[str, dict]:
        """What runs a program of this project: the services, and the commands that are run at their times."""
        return self.deployments() | {
            name: job for name, job in self.workloads().items() if job["kind"] == "CronJob" and name in COMMANDS
        }

    def workloads(self) -> dict[str, dict]:
        """Everything that runs pods, by name."""
        kinds = ("Deployment", "StatefulSet", "CronJob")
        return {thing["metadata"]["name"]: thing for kind in kinds for thing in self.all(kind)}

    def behind(self, host: str) -> set[str]:
        """The workloads that a name of this cluster leads to."""
        name, _, rest = host.partition(".")
        service = self.get("Service", name)
        if service is None or rest not in ("", NAMESPACE, f"{NAMESPACE}.svc"):
            return set()
        selector = {"matchLabels": service["spec"]["selector"]}
        return {name for name, workload in self.workloads().items() if matches(selector, labels(workload))}

    def environment(self, workload: dict) -> dict[str, str]:
        """What the container finds in its environment, later sources first."""
        found: dict[str, str] = {}
        only = container(workload)
        for source in only.get("envFrom", []):
            config = self.get("ConfigMap", source["configMapRef"]["name"])
            found |= (config or {}).get("data", {}) or {}
        return found | {entry["name"]: entry.get("value", "") for entry in only.get("env", [])}

    def secret(self, name: str) -> dict[str, str]:
        """What a Secret holds, whoever makes it; a template where only the vault knows the value."""
        for external in self.all("ExternalSecret"):
            if external["spec"]["target"]["name"] == name:
                return external["spec"]["target"]["template"]["data"]
        secret = self.get("Secret", name) or {}
        return {key: b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}

    def secret_files(self, workload: dict) -> dict[str, str]:
        """The contents of the files that Secrets put into the container, by path."""
        secrets = {
            volume["name"]: volume["secret"] for volume in pod(workload).get("volumes", []) if "secret" in volume
        }
        return {
            f"{mount['mountPath']}/{key}": value
            for mount in container(workload).get("volumeMounts", [])
            if mount["name"] in secrets
            for key, value in self.secret(secrets[mount["name"]]["secretName"]).items()
        }

    def alerts(self) -> list[dict]:
        """The rules that page somebody: the operator's, and those in the files of a Prometheus that is here."""
        groups = [group for rule in self.all("PrometheusRule") for group in rule["spec"]["groups"]]
        if prometheus := self.get("StatefulSet", "prometheus"):
            files = self.config_files(prometheus).values()
            groups += [group for text in files for group in yaml.safe_load(text).get("groups", [])]
        return [rule for group in groups for rule in group["rules"]]

    def config_files(self, workload: dict) -> dict[str, str]:
        """The contents of the files that ConfigMaps put into the container, by their keys."""
        sources = [
            source
            for volume in pod(workload).get("volumes", [])
            for source in [volume, *volume.get("projected", {}).get("sources", [])]
        ]
        found: dict[str, str] = {}
        for name in (source["configMap"]["name"] for source in sources if "configMap" in source):
            found |= (self.get("ConfigMap", name) or {}).get("data", {})
        return found

    def settings(self, workload: dict) -> dict[str, str]:
        """What the environment sets, directly or by a file."""
        files = self.secret_files(workload)
        environment = self.environment(workload)
        named = {
            key.removesuffix("_FILE"): files.get(value, "")
            for key, value in environment.items()
            if key.endswith("_FILE")
        }
        return named | environment

    def scaling(self, name: str) -> list[tuple[int, int]]:
        """The smallest and largest number of replicas, once for each autoscaler that claims the Deployment."""
        ranges = []
        for scaler in self.all("HorizontalPodAutoscaler"):
            if scaler["spec"]["scaleTargetRef"]["name"] == name:
                ranges.append((scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]))
        for scaler in self.all("ScaledObject"):
            if scaler["spec"]["scaleTargetRef"]["name"] == name:
                ranges.append((scaler["spec"]["minReplicaCount"], scaler["spec"]["maxReplicaCount"]))
        return ranges


def _template(workload: dict) -> dict:
    spec = workload["spec"]
    return spec["jobTemplate"]["spec"]["template"] if workload["kind"] == "CronJob" else spec["template"]


def pod(workload: dict) -> dict:
    return _template(workload)["spec"]


def labels(workload: dict) -> dict:
    return _template(workload)["metadata"]["labels"]


def container(workload: dict) -> dict:
    containers = pod(workload)["containers"]
    assert len(containers) == 1, f"{workload['metadata']['name']} has {len(containers)} containers"
    return containers[0]


def port_number(workload: dict, port: str | int) -> int | None:
    """A port by its name or number, as the container has it."""
    for entry in container(workload).get("ports", []):
        if port in (entry.get("name"), entry["containerPort"]):
            return entry["containerPort"]
    return None
