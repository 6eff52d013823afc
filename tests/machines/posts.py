"""A post and a claim of two of its three seats, as they are tried."""

from services.promotion.post import POST, State
from tests.deciding import fold
from tests.machines.exploring import Machine, Step
from tests.promotion.test_post import (
    RELEASE,
    RELEASED,
    TWO_CLAIMED,
    claiming,
    filled,
    filling,
    setting,
    vacating,
    was_set,
)


def shown(state: State) -> str:
    if "c-1" not in state.claims:
        return "no claim"
    claim = state.claims["c-1"]
    if claim.released:
        return "claim over, seats held"
    return ("two claimed", "one seat taken", "both taken")[len(claim.filled)]


POSTS = Machine(
    title="Post",
    source="services/promotion/post.py",
    aggregate=POST,
    steps=[
        Step(setting(3)),
        Step(setting(1, "2026-03-16"), said="fewer seats"),
        Step(claiming(2)),
        Step(claiming(1), said="another number"),
        Step(claiming(2, "c-2"), said="by another, of two"),
        Step(claiming(1, "c-2"), said="by another, of one"),
        Step(filling("a")),
        Step(filling("c"), said="somebody else"),
        Step(vacating("a")),
        Step(RELEASE),
    ],
    shown=shown,
    states=[
        POST.initial,
        *(
            fold(POST, POST.initial, [was_set(3), *events])
            for events in (
                [],
                [TWO_CLAIMED],
                [TWO_CLAIMED, filled("a")],
                [TWO_CLAIMED, filled("a"), filled("b")],
                [TWO_CLAIMED, filled("a"), RELEASED],
            )
        ),
    ],
)
