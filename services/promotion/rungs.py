"""What the ladders in force on a day, and the directory, say of posts and of criteria."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts import employee
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.relations import Directory
from services.promotion.ladder import ELIGIBILITY, LADDER, Held, is_for, rung_held, rung_number
from stepladder.performance.v1.promotion_rules_pb2 import Ladder
from stepladder.promotion.v1 import career_pb2 as pb

MOST_NAMED = 20
"""How many positions a refusal names."""


@dataclass(frozen=True, slots=True)
class RungsInForce:
    """Ladders in force on a day."""

    rules: Rules
    day: date

    @property
    def ladders(self) -> Sequence[Ladder]:
        return [policy.ladder for policy in self.rules.policies_on(LADDER, self.day)]

    @property
    def _rungs(self) -> list[Ladder.Rung]:
        return [rung for ladder in self.ladders for rung in ladder.rungs]

    def leads_team(self, held: pb.Held) -> bool:
        """Whether a ladder says that the holder of a post leads its team."""
        return any(rung.leads_team for rung in self._rungs if is_for(held.position, held.stars, rung))

    def check_named(self, position: str, stars: int) -> None:
        """Raises Invalid `POSITION_UNKNOWN` unless a ladder names a position, with such stars or none."""
        if any(is_for(position, stars, rung) for rung in self._rungs):
            return
        named = sorted({(rung.position, rung.stars) for rung in self._rungs})
        shown = ", ".join(f"{name} with {number} stars" if number else name for name, number in named[:MOST_NAMED])
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        wanted = f"{position} with {stars} stars" if stars else position
        message = f"no ladder in force on {self.day} names {wanted}; there are: {shown or 'none'}{more}"
        raise Invalid("POSITION_UNKNOWN", message, (FieldViolation("position", message),))

    def is_lower(self, held: pb.Held, than: pb.Held) -> bool:
        """Whether a ladder names both, the one below the other."""
        numbers = [(rung_held(one, self._held(held)), rung_held(one, self._held(than))) for one in self.ladders]
        return any(lower < upper for lower, upper in numbers if lower is not None and upper is not None)

    def waivable(self, ladder_id: str, rung_id: str, criterion_id: str) -> bool:
        """Whether a criterion for a rung may be waived.

        Raises NotFound `POLICY_NOT_FOUND`, `RUNG_NOT_FOUND`, `CRITERION_NOT_FOUND`.
        """
        ladder = self.rules.of_kind_on(LADDER, ladder_id, self.day)
        rung = ladder.ladder.rungs[rung_number(ladder, rung_id)]
        rules = self.rules.of_kind_on(ELIGIBILITY, rung.eligibility_id, self.day)
        for criterion in rules.eligibility.criteria:
            if criterion.criterion_id == criterion_id:
                return criterion.waivable
        message = f"{ELIGIBILITY} {rung.eligibility_id} has no criterion {criterion_id}"
        raise NotFound("CRITERION_NOT_FOUND", message)

    def place(self, found: employee.State, held: pb.Held) -> pb.Place:
        """What is to be known of a post and of who is to hold it from that day on."""
        return pb.Place(
            employed=employed_on(found, self.day),
            before=held_on(found, self.day),
            before_acting=found.position_on(self.day).acting,
            leads_team=self.leads_team(held),
        )

    def _held(self, held: pb.Held) -> Held:
        return Held(self.day, held.position, held.stars, acting=False, position=0)


def held_on(found: employee.State, day: date) -> pb.Held:
    """What the directory says somebody holds on a day."""
    held = found.position_on(day)
    return pb.Held(position=held.name, stars=held.stars, team_id=found.team_on(day))


def employed_on(found: employee.State, day: date) -> bool:
    return Directory({found.employee_id: found}, {}).employed(found.employee_id, day)


class Rungs:
    """Finds them, once the read model has everything."""

    def __init__(self, service: Service, catalogue: Catalogue, at_catalogue: Follower) -> None:
        self._engine = service.engine
        self._catalogue = catalogue
        self._at_catalogue = at_catalogue

    async def on(self, day: date) -> RungsInForce:
        await self._at_catalogue.catch_up(AT_LEAST_SECONDS)
        return RungsInForce(await self._catalogue.rules(self._engine), day)
