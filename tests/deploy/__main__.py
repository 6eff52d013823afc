"""Checks the manifests of every overlay without a cluster: `make check-deploy`."""

import sys
from collections import Counter

from tests.deploy.checks import findings, world_of
from tests.deploy.faults import FAULTS
from tests.deploy.mutation import plant
from tests.deploy.objects import OVERLAYS, NoKubectl
from tests.deploy.references import references


def main() -> None:
    try:
        worlds = {folder.name: world_of(folder) for folder in sorted(OVERLAYS.iterdir())}
    except NoKubectl as problem:
        sys.exit(str(problem))
    wrong = 0
    times: Counter[str] = Counter()
    for name, world in worlds.items():
        found = findings(world)
        referred = sum(1 + len(one.keys) for one in references(world))
        print(f"{name}: {len(world.ours)} objects, {referred} references, {len(found)} checks")
        for check, said in found.items():
            for finding in said:
                print(f"  FOUND by {check.__name__}: {finding}")
        wrong += sum(map(len, found.values()))
        for outcome in plant(world, FAULTS):
            times[outcome.fault.name] += outcome.planted
            for place in outcome.missed:
                print(f"  MISSED {outcome.fault.name} at {place}")
            wrong += len(outcome.missed)
    for fault in FAULTS:
        print(f"  {times[fault.name]:4} {fault.name.replace('_', ' ')}")
        if not times[fault.name]:
            print("       NOWHERE to plant it")
            wrong += 1
    print(f"{len(FAULTS)} kinds of fault, {times.total()} planted; {wrong} findings, misses and kinds without a place")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
