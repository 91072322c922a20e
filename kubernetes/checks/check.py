"""Holds the assertions against rendered manifests, then plants each fault and sees it found.

Usage: check.py FOLDER, with a file OVERLAY.yaml for each overlay, and local+COMPONENT.yaml for the local one with a
component. Exits non-zero if anything is wrong.
"""

import copy
import sys
from pathlib import Path

from assertions import ASSERTIONS
from planted_faults import FAULTS
from rendered import Overlay

# What a component leaves to whoever takes it: where the proxies are that the gateway believes.
LEFT_OPEN = {("local+gateway-api", "whoever_believes_a_proxy_is_reached_by_it_alone")}


def main(folder: str) -> int:
    overlays = {overlay.name: overlay for overlay in map(Overlay.read, sorted(Path(folder).glob("*.yaml")))}
    wrong = []
    for overlay in overlays.values():
        for name, check in ASSERTIONS.items():
            problems = [f"{overlay.name}: {problem}" for problem in check(overlay)]
            if (overlay.name, name) not in LEFT_OPEN:
                wrong += problems
            elif not problems:
                wrong.append(f"{overlay.name}: {name} is not left open")
    # In what is wrong already no fault can be planted.
    if not wrong:
        wrong = plant(overlays)
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"{len(ASSERTIONS)} assertions hold of {', '.join(overlays)}; {len(FAULTS)} planted faults were found")
    return 1 if wrong else 0


def plant(overlays: dict[str, Overlay]) -> list[str]:
    unproven = ASSERTIONS.keys() - {fault.assertion for fault in FAULTS}
    wrong = [f"no fault is planted for {name}" for name in sorted(unproven)]
    for fault in FAULTS:
        overlay = copy.deepcopy(overlays[fault.overlay])
        before = set(ASSERTIONS[fault.assertion](overlay))
        fault.plant(overlay)
        if not set(ASSERTIONS[fault.assertion](overlay)) - before:
            wrong.append(f"not found by {fault.assertion}: {fault.what}")
    return wrong


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
