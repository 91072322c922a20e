"""What the sources say of the system: its services, their settings, their probes, their images."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "animal-hospital"
# Read by the C library, not by a service.
RUNTIME_VARIABLES = {"MALLOC_ARENA_MAX"}


def source(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _leaves(table: dict, prefix: str = "") -> dict:
    """The same leaves as chassis/src/config.rs finds: an empty table is one, its keys are the operator's own."""
    found = {}
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            found |= _leaves(value, f"{key}.")
        else:
            found[key] = value
    return found


def _programs() -> tuple[dict[str, dict], dict[str, dict]]:
    """The settings of each service, and of each command, by environment variable, with their defaults."""
    members = tomllib.loads(source("Cargo.toml"))["workspace"]["members"]
    # What the launcher runs is what a cluster runs; other members are commands.
    processes = re.search(r"const ALL: .*?= \[(.*?)\];", source("fleet/src/name.rs"), re.DOTALL)[1].lower()
    common = _leaves(tomllib.loads(source("chassis/src/config.toml")))
    broker = _leaves(tomllib.loads(source("chassis/src/events/kafka.toml")))
    services: dict[str, dict] = {}
    commands: dict[str, dict] = {}
    for member in members:
        name, defaults = Path(member).name, ROOT / member / "src/config.toml"
        is_service = f"self::{name}," in processes
        if name == "chassis" or not defaults.exists():
            continue
        # A command serves nobody: of what all have in common it goes by how to log.
        settings = {key: value for key, value in common.items() if is_service or key.startswith("log.")}
        settings |= _leaves(tomllib.loads(defaults.read_text(encoding="utf-8")))
        if "kafka.topic" in settings:
            settings |= broker
        found = services if is_service else commands
        found[name] = {key.replace(".", "_").upper(): value for key, value in settings.items()}
    return services, commands


SERVICES, COMMANDS = _programs()
PROGRAMS = SERVICES | COMMANDS
# The programs that images are made of, by the one recipe for all, and the images that are somebody else's.
IMAGES = set(re.search(r"services=\(([\w -]+)\)", source("scripts/images"))[1].split())
OTHERS_IMAGES = {
    image
    for file in ("docker/compose.yaml", "docker/observability/compose.yaml")
    for image in re.findall(r"image: ((?!animal-hospital/).*)", source(file))
}
# What the guide says that a database server outside the cluster has to allow.
ALLOWED_CONNECTIONS = int(re.search(r"allows (\d+) connections", source("docs/kubernetes.md"))[1])
DASHBOARDS = {path.name for path in (ROOT / "docker/observability/dashboards").glob("*.json")}
PROBE_PATHS = set(re.findall(r'\.route\("(/actuator/[^"]+)"', source("chassis/src/http/actuator.rs")))


def seconds(text: str) -> float:
    """`250ms`, `2s`, `1m 30s`."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)\s*(ms|s|m|h)", text))
