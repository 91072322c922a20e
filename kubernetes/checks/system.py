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


def _services() -> dict[str, dict]:
    """Each service's settings by environment variable, with their defaults."""
    members = tomllib.loads(source("Cargo.toml"))["workspace"]["members"]
    # What the launcher runs is what a cluster runs; other members are commands.
    processes = re.search(r"const ALL: .*?= \[(.*?)\];", source("fleet/src/name.rs"), re.DOTALL)[1].lower()
    common = _leaves(tomllib.loads(source("chassis/src/config.toml")))
    broker = _leaves(tomllib.loads(source("chassis/src/events/kafka.toml")))
    services = {}
    for member in members:
        name = Path(member).name
        if f"self::{name}," in processes:
            settings = common | _leaves(tomllib.loads(source(f"{member}/src/config.toml")))
            if "kafka.topic" in settings:
                settings |= broker
            services[name] = {key.replace(".", "_").upper(): value for key, value in settings.items()}
    return services


SERVICES = _services()
# The programs that images are made of, by the one recipe for all, and the images that are somebody else's.
IMAGES = set(re.search(r"services=\(([\w -]+)\)", source("scripts/images"))[1].split())
OTHERS_IMAGES = {
    image
    for file in ("docker/compose.yaml", "docker/observability/compose.yaml")
    for image in re.findall(r"image: ((?!animal-hospital/).*)", source(file))
}
DASHBOARDS = {path.name for path in (ROOT / "docker/observability/dashboards").glob("*.json")}
PROBE_PATHS = set(re.findall(r'\.route\("(/actuator/[^"]+)"', source("chassis/src/http/actuator.rs")))


def seconds(text: str) -> float:
    """`250ms`, `2s`, `1m 30s`."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)\s*(ms|s|m|h)", text))
