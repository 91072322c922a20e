"""Renders every overlay and holds the assertions against it, then plants each fault and sees it found.

Usage: check.py KUSTOMIZE…, for example `check.py kubectl kustomize`. Exits non-zero if anything is wrong.
"""

import copy
import sys

from assertions import ASSERTIONS
from planted_faults import FAULTS
from rendered import Overlay
from system import ROOT


def main(kustomize: list[str]) -> int:
    folders = sorted(path.parent.name for path in (ROOT / "kubernetes/overlays").glob("*/kustomization.yaml"))
    overlays = {name: Overlay.render(name, kustomize) for name in folders}
    wrong = [
        f"{overlay.name}: {problem}"
        for overlay in overlays.values()
        for check in ASSERTIONS.values()
        for problem in check(overlay)
    ]
    unproven = ASSERTIONS.keys() - {fault.assertion for fault in FAULTS}
    wrong += [f"no fault is planted for {name}" for name in sorted(unproven)]
    for fault in FAULTS:
        overlay = copy.deepcopy(overlays[fault.overlay])
        before = set(ASSERTIONS[fault.assertion](overlay))
        fault.plant(overlay)
        if not set(ASSERTIONS[fault.assertion](overlay)) - before:
            wrong.append(f"not found by {fault.assertion}: {fault.what}")
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"{len(ASSERTIONS)} assertions hold of {', '.join(folders)}; {len(FAULTS)} planted faults were found")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
