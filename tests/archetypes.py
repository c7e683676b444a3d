"""Archetypal datasets and what the planner makes of them, as JSON in `golden/archetypes`.

Run this file to write the expected plans anew after a heuristic was changed on purpose, and read
the diff before committing it.
"""

import json
from pathlib import Path

from fingerprints import make_fingerprint

from autoseg.architectures import ARCHITECTURES
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.planning.values import plan_values

ARCHETYPES = sorted((Path(__file__).parent / "golden" / "archetypes").glob("*.json"))


def planned(archetype: dict) -> dict[str, str]:
    """Return the values of the plan for an archetype, by field."""
    settings = dict(archetype["fingerprint"])
    shapes = settings.pop("shapes") * settings.pop("repeated")
    spacings = [settings.pop("spacing")] * len(shapes)
    plan = make_plan(
        make_fingerprint([tuple(shape) for shape in shapes], spacings, **settings),
        network=ARCHITECTURES[archetype["network"]] if "network" in archetype else None,
        memory_gib=archetype["memory_gib"],
        machine=Machine(**archetype["machine"]),
    )
    return plan_values(plan)


def main() -> None:
    """Write every expected plan anew."""
    for path in ARCHETYPES:
        archetype = json.loads(path.read_text())
        archetype["plan"] = planned(archetype)
        path.write_text(json.dumps(archetype, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
