"""The share of each replica: whatever comes and goes, all is run, nobody has too much, and nothing moves in vain."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from libs.common.replicas import share


def settle(owners: dict[str, str], alive: list[str]) -> tuple[dict[str, str], int]:
    """Lets every replica look, one after the other, until none changes anything; what was run from then on, and how
    many followers had to change their place."""
    owners = {name: owner if owner in alive else "" for name, owner in owners.items()}
    moved = 0
    for _ in range(2 * len(owners) + 2):
        before = dict(owners)
        for instance in alive:
            mine = share(owners, instance, len(alive))
            for name, owner in owners.items():
                if owner == instance and name not in mine:
                    owners[name] = ""
                    moved += 1
                elif name in mine:
                    owners[name] = instance
        if owners == before:
            return owners, moved
    raise AssertionError("they never settle")


@given(st.integers(1, 40), st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_whoever_comes_and_goes_all_is_run_and_nobody_has_too_much(size: int, replicas: list[int]) -> None:
    """Each number of replicas settles; none has more than its share, and only what was above it has moved."""
    owners = {f"f{number}": "" for number in range(size)}
    for count in replicas:
        alive = [f"r{number}" for number in range(count)]
        most = -(-size // count)
        before = Counter(owner for owner in owners.values() if owner in alive)
        owners, moved = settle(owners, alive)
        held = Counter(owners.values())
        assert "" not in held
        assert max(held.values()) <= most
        assert moved == sum(max(0, had - most) for had in before.values())


@given(st.dictionaries(st.text("abc", min_size=1), st.sampled_from(["", "me", "other"]), min_size=1), st.integers(1, 5))
def test_nobody_takes_what_another_one_runs(owners: dict[str, str], alive: int) -> None:
    """What a replica is to run is free or its own, and it keeps its own first."""
    mine = share(owners, "me", alive)
    own = {name for name, owner in owners.items() if owner == "me"}
    assert all(owners[name] in ("", "me") for name in mine)
    assert own <= mine or mine <= own
