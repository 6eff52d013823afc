"""The manifests of every overlay hold what they promise, and the checks see what somebody gets wrong."""

import shutil
from decimal import Decimal

import pytest

from libs.common.settings import Settings
from tests.deploy.checks import CHECKS, findings, world_of
from tests.deploy.code import PROCESSES
from tests.deploy.faults import FAULTS
from tests.deploy.faults.planting import Fault
from tests.deploy.mutation import plant
from tests.deploy.objects import OVERLAYS, NoKubectl, render
from tests.deploy.others import given
from tests.deploy.workloads import quantity
from tests.deploy.world import World, matches

NAMES = sorted(folder.name for folder in OVERLAYS.iterdir())


@pytest.fixture(scope="session")
def worlds() -> dict[str, World]:
    """Every overlay, rendered once."""
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl, which renders manifests without a cluster")
    return {name: world_of(OVERLAYS / name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong_with_the_manifests(worlds: dict[str, World], name: str) -> None:
    """Given the manifests as they are, no check finds anything."""
    said = [f"{check.__name__}: {one}" for check, found in findings(worlds[name]).items() for one in found]

    assert said == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_caught(worlds: dict[str, World], fault: Fault) -> None:
    """Given a fault in some places of each overlay, its check finds each; `make check-deploy` tries every place."""
    outcomes = [plant(world, [fault], sample=3, seed=7)[0] for world in worlds.values()]

    assert sum(outcome.planted for outcome in outcomes) > 0, "there is no place for it"
    assert [place for outcome in outcomes for place in outcome.missed] == []


def test_every_check_can_fail() -> None:
    """Given the kinds of fault, each check is what catches one of them."""
    assert {fault.caught_by for fault in FAULTS} == set(CHECKS)


def test_processes_go_by_settings_that_there_are() -> None:
    """Given what is known of processes, the settings named there are settings."""
    named = {name for one in PROCESSES.values() for name in (*one.calls, *one.listens, *one.files)}

    assert named - set(Settings.model_fields) == set()


def test_planting_changes_nothing_but_the_copy(worlds: dict[str, World]) -> None:
    """Given faults that were planted, the world that they were planted in is as before."""
    before = repr(worlds["production"].ours)

    plant(worlds["production"], FAULTS, sample=1, seed=3)

    assert repr(worlds["production"].ours) == before


def test_without_kubectl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given no kubectl, rendering says so."""
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(NoKubectl, match="kubectl is missing"):
        render(OVERLAYS / "dev")


def test_what_is_given_says_who_makes_it() -> None:
    """Given what others make, each object says who does."""
    assert [one for name in NAMES for one in given(name) if not one["metadata"]["annotations"]["made-by"]] == []


@pytest.mark.parametrize(
    ("text", "amount"),
    [("500m", "0.5"), ("2", "2"), ("1.5", "1.5"), ("1k", "1000"), ("2Gi", str(2 * 1024**3)), ("1M", "1000000")],
)
def test_quantities(text: str, amount: str) -> None:
    """Given a quantity, it amounts to what Kubernetes takes it for."""
    assert quantity(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "2GB", "Gi", "-1", "1 Gi", None])
def test_what_is_no_quantity(text: object) -> None:
    """Given something else, it amounts to nothing."""
    assert quantity(text) is None


@pytest.mark.parametrize(
    ("operator", "values", "chosen"),
    [
        ("In", ["a", "b"], True),
        ("In", ["c"], False),
        ("NotIn", ["a"], False),
        ("Exists", None, True),
        ("DoesNotExist", None, False),
    ],
)
def test_selectors(operator: str, values: list[str] | None, chosen: bool) -> None:
    """Given an expression of a selector, it chooses what Kubernetes would."""
    selector = {"matchExpressions": [{"key": "name", "operator": operator, **({"values": values} if values else {})}]}

    assert matches(selector, {"name": "a"}) is chosen
    assert matches({}, {"name": "a"})
    assert not matches(None, {"name": "a"})
