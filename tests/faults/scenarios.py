"""What can go wrong with a cluster and what runs on it: each fault by its name, from its beginning to its end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from libs.cli.embedded import CannotStart
from tests.faults.checker import STUCK, Outcome, Violation, violations
from tests.faults.cluster import NODES, SERVICES, World, cluster, postgres_processes
from tests.faults.network import CALLERS

Strike = Callable[[World, Random], Awaitable[None]]
"""One fault: it begins, lasts for a while, and is over when this returns. Nothing but the fault itself is mended."""


@dataclass(frozen=True)
class Scenario:
    """A fault that strikes again and again.

    Attributes:
        times: how often in a run of a thousand kills.
        kills: processes killed each time.
        postgres: read models lie in PostgreSQL, not in SQLite.
        instances: of the service that callers talk to.
    """

    strike: Strike
    times: int
    kills: int = 0
    postgres: bool = False
    instances: int = 1

    @property
    def name(self) -> str:
        return self.strike.__name__.replace("_", "-")


async def leader_killed(world: World, chance: Random) -> None:
    """Who leads LOG is gone, and comes back after a moment."""
    node = await world.leader()
    world.kill(node)
    await asyncio.sleep(chance.uniform(0, 2))
    node.start()


async def follower_killed(world: World, chance: Random) -> None:
    """A node that does not lead LOG."""
    node = chance.choice(await world.others(await world.leader()))
    world.kill(node)
    await asyncio.sleep(chance.uniform(0, 2))
    node.start()


async def two_nodes_killed_in_turn(world: World, chance: Random) -> None:
    """The second before the first has caught up, so that for a moment there is no majority."""
    for name in chance.sample(NODES, 2):
        world.kill(world.nodes[name])
        world.nodes[name].start()
        await asyncio.sleep(chance.uniform(0, 1))


async def service_killed(world: World, chance: Random) -> None:
    """A service, or a follower that runs by itself."""
    server = world.system.servers[chance.choice([*SERVICES, "counting"])]
    world.kill(server)
    server.start()
    await asyncio.sleep(chance.uniform(0, 2))


async def leader_paused(world: World, chance: Random) -> None:
    """It wakes up and does not know yet that others lead."""
    node = await world.leader()
    with world.paused(*world.processes(node)):
        await asyncio.sleep(chance.uniform(1, 15))


async def service_paused(world: World, chance: Random) -> None:
    server = world.system.servers[chance.choice(SERVICES)]
    with world.paused(*world.processes(server)):
        await asyncio.sleep(chance.uniform(1, 15))


async def owner_paused(world: World, chance: Random) -> None:
    """One of two instances, for longer than its followers' leases: the other takes them over, and then it wakes up."""
    instances = [server for name, server in world.system.servers.items() if name.startswith("performance")]
    server = chance.choice(instances)
    with world.paused(*world.processes(server)):
        await asyncio.sleep(chance.uniform(11, 16))


async def database_paused(world: World, chance: Random) -> None:
    """PostgreSQL with all its processes."""
    processes = postgres_processes()
    assert processes
    with world.paused(*processes):
        await asyncio.sleep(chance.uniform(1, 12))


async def leader_cut_off(world: World, chance: Random) -> None:
    """Nobody hears it, and it hears nobody."""
    node = await world.leader()
    with world.cut([node.name], [CALLERS, *(one.name for one in await world.others(node))]):
        await asyncio.sleep(chance.uniform(2, 15))


async def minority_with_callers(world: World, chance: Random) -> None:
    """One node is cut off from the others together with the services."""
    alone = chance.choice(NODES)
    with world.cut([alone, CALLERS], [name for name in NODES if name != alone]):
        await asyncio.sleep(chance.uniform(2, 15))


async def heard_by_nobody(world: World, chance: Random) -> None:
    """What a node sends is lost, and what it is sent arrives."""
    node = chance.choice([*world.nodes.values(), await world.leader()])
    others = [one.name for one in await world.others(node)]
    with world.cut([node.name], [*others, CALLERS], both_ways=False):
        await asyncio.sleep(chance.uniform(2, 15))


async def services_cut_off(world: World, chance: Random) -> None:
    """From the whole cluster, which is well; sometimes only from its answers."""
    with world.cut(NODES, [CALLERS], both_ways=chance.random() < 0.5):
        await asyncio.sleep(chance.uniform(2, 15))


async def disk_full(world: World, chance: Random) -> None:
    """That of one node."""
    disk = world.disks[chance.choice(NODES)]
    disk.fill()
    await asyncio.sleep(chance.uniform(2, 10))
    disk.make_room()


async def all_disks_full(world: World, chance: Random) -> None:
    """Nothing can be recorded; then there is room again."""
    for disk in world.disks.values():
        disk.fill()
    await asyncio.sleep(chance.uniform(2, 10))
    for disk in world.disks.values():
        disk.make_room()


async def power_cut(world: World, _: Random) -> None:
    """Of all nodes at one moment: what was not synced is lost."""
    nodes = list(world.nodes.values())
    with world.paused(*world.processes(*nodes)):  # nothing happens while it is noted
        for disk in world.disks.values():
            await asyncio.to_thread(disk.keep)
        for node in nodes:
            world.kill(node)
    for disk in world.disks.values():
        disk.come_back()
    for node in nodes:
        node.start()


ANYWHERE: Sequence[Strike] = (
    leader_killed,
    leader_paused,
    leader_cut_off,
    power_cut,
    follower_killed,
    heard_by_nobody,
    minority_with_callers,
    service_killed,
    service_paused,
    services_cut_off,
    two_nodes_killed_in_turn,
)


async def any_of_them(world: World, chance: Random) -> None:
    """One fault on top of what others have left behind."""
    await chance.choice(ANYWHERE)(world, chance)


SCENARIOS = (
    Scenario(leader_killed, times=120, kills=1),
    Scenario(follower_killed, times=120, kills=1),
    Scenario(two_nodes_killed_in_turn, times=60, kills=2),
    Scenario(service_killed, times=120, kills=1),
    Scenario(power_cut, times=20, kills=3),
    Scenario(leader_paused, times=5),
    Scenario(service_paused, times=5),
    Scenario(owner_paused, times=3, instances=2),
    Scenario(database_paused, times=5, postgres=True),
    Scenario(leader_cut_off, times=5),
    Scenario(minority_with_callers, times=5),
    Scenario(heard_by_nobody, times=5),
    Scenario(services_cut_off, times=5),
    Scenario(disk_full, times=3),
    Scenario(all_disks_full, times=2),
    Scenario(any_of_them, times=20),
)


async def run(scenario: Scenario, folder: Path, seed: int, times: int, tell: Callable[[str], None]) -> Outcome:
    """Strikes so many times; after each, callers must be answered again before the next one."""
    opened = cluster(folder, seed, postgres=scenario.postgres, instances=scenario.instances, tell=tell)
    async with opened as world:
        load, broken = world.load, []
        try:
            await _strike(scenario, world, seed, times)
            broken = violations(await world.everything())
        except (AssertionError, CannotStart, TimeoutError, RuntimeError) as stuck:
            broken = [Violation(STUCK, str(stuck))]
        return Outcome(scenario.name, times, world.kills.total(), len(load.acknowledged), load.longest_gap, broken)


async def _strike(scenario: Scenario, world: World, seed: int, times: int) -> None:
    for number in range(times):
        chance = Random(f"{seed} {scenario.name} {number}")  # whatever happened in between
        await asyncio.sleep(chance.uniform(0, 1))
        await scenario.strike(world, chance)
        await world.recovered()
        world.tell(f"{scenario.name}: {number + 1} of {times}, longest gap {world.load.longest_gap:.1f} s")
