"""Vacancies of rungs with stars and without, in teams that keep headcounts of both."""

from collections.abc import Mapping
from datetime import date

import pytest

from libs.common.commands import Standing
from services.promotion.holders import Holder, occupancy
from services.promotion.ladder import is_for
from services.promotion.post import State
from services.promotion.vacancies import vacant
from stepladder.performance.v1.promotion_rules_pb2 import Ladder
from stepladder.promotion.v1.events_pb2 import HeadcountSet

DAY = date(2026, 3, 20)
HOLDERS = {("agent", "t"): [Holder("e-1", 1), Holder("e-2", 2)]}


def post(stars: int, headcount: int | None, position: int) -> Standing[State]:
    """Of agents in a team; None: for any number."""
    said = HeadcountSet(headcount=headcount or 0, unlimited=headcount is None)
    return Standing(State("p", "agent", stars, "t", ((date(2020, 1, 1), said),)), position)


@pytest.mark.parametrize(
    ("rung", "headcounts", "number"),
    [
        (2, {}, 0),
        (2, {2: 3}, 2),
        (2, {0: 5}, 3),  # a post of no stars is for whatever stars: two hold it
        (2, {0: 3, 2: 3}, 1),  # within both
        (2, {0: 5, 2: None}, 3),
        (2, {1: 9, 2: 1}, 0),
        (2, {0: None}, None),
        (0, {1: 2, 2: 3}, 3),
        (0, {0: 3, 1: 9, 2: 9}, 1),
    ],
)
def test_a_post_of_no_stars_counts_for_every_rung(
    rung: int, headcounts: Mapping[int, int | None], number: int | None
) -> None:
    of_rung = Ladder.Rung(position="agent", stars=rung)
    every = [post(stars, count, position) for position, (stars, count) in enumerate(headcounts.items(), start=1)]
    posts = [one for one in every if is_for("agent", one.state.stars, of_rung)]
    now = [one.state.vacancies(occupancy(one.state, HOLDERS, {}, DAY, leads_team=False), DAY) for one in posts]
    found = vacant(posts, now, now)
    assert found.number == number
    assert len(found.positions) == sum(0 in (rung, stars) or stars == rung for stars in headcounts)
