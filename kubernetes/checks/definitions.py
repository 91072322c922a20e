"""Holds objects of the kinds that operators bring against the operators' own definitions.

What a definition says in CEL (`x-kubernetes-validations`) only a server can hold them against.
"""

import os
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft4Validator


@cache
def _definitions() -> dict[tuple[str, str], Draft4Validator]:
    """By apiVersion and kind. scripts/check fetches them, as definitions.txt says, into the folder DEFINITIONS."""
    found = {}
    for file in Path(os.environ["DEFINITIONS"]).glob("*.yaml"):
        for definition in yaml.load_all(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = _strict(version["schema"]["openAPIV3Schema"])
                # Of what all objects have the server knows more than the definition.
                schema["properties"]["metadata"] = {"type": "object"}
                found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = Draft4Validator(schema)
    return found


def _strict(schema: dict) -> dict:
    """As `kubectl apply` has the server read it: a field that the definition does not name is an error."""
    made = dict(schema)
    if "properties" in schema:
        made["properties"] = {name: _strict(value) for name, value in schema["properties"].items()}
    if "items" in schema:
        made["items"] = _strict(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _strict(schema["additionalProperties"])
    elif schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if schema.get("nullable") and "type" in schema:
        made["type"] = [schema["type"], "null"]
    return made


def problems(thing: dict):
    """What is wrong with an object; nothing with one of Kubernetes's own kinds, which others look at."""
    known = _definitions()
    definition = known.get((thing["apiVersion"], thing["kind"]))
    if definition is not None:
        for error in definition.iter_errors(thing):
            yield f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"
    elif thing["apiVersion"].partition("/")[0] in {version.partition("/")[0] for version, _ in known}:
        yield f"there is no such kind in {thing['apiVersion']}"
