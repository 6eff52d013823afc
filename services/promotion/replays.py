"""Rules of competitions that are tried: what those that were ranked would have come to."""

from collections.abc import Iterable, Mapping

from libs.common.commands import Commands
from libs.common.service import Service
from services.promotion.candidacy import CANDIDACY
from services.promotion.competition import State
from services.promotion.declarations import closing, declared
from services.promotion.fairness import Chosen
from services.promotion.ranking import replayed
from services.promotion.score_inputs import ScoreInputs
from services.promotion.stages import Held
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.promotion.v1.competition_pb2 import Competition
from stepladder.promotion.v1.events_pb2 import CandidacyScored
from stepladder.promotion.v1.scoring_pb2 import RankingReplay


class Replays:
    """Computes; changes nothing."""

    def __init__(self, service: Service, inputs: ScoreInputs) -> None:
        self._commands = service.commands
        self._inputs = inputs

    async def of(self, competition: State, tried: Policy) -> RankingReplay:
        """A ranked competition under other rules, by what its scores are computed by, and no later."""
        opened, ranking = competition.opened, competition.ranked.ranking
        ids = [one.candidacy_id for one in ranking]
        scored = await self._commands.known(CANDIDACY, ids, latest=True)
        known_at = max((one.state.last(CandidacyScored).score.known_at for one in scored.values()), default=0)
        candidates = await self._inputs.candidates(competition, ids, known_at, tried) if ids else []
        return RankingReplay(
            competition_id=opened.competition_id,
            ranked_date=competition.ranked.ranked_date,
            seats=opened.seats,
            rules_position=opened.rules_position,
            candidates=replayed(tried.competition, competition.ranked.lot_seed, opened.seats, ranking, candidates),
        )


def is_ranked(competition: State) -> bool:
    return bool(competition.ranked.competition_id) and competition.stage != Competition.STATE_CANCELLED


async def chosen(commands: Commands, replays: Iterable[RankingReplay], held: Mapping[str, Held]) -> list[Chosen]:
    """Every candidate once, selected if they are within the seats of one competition; with what they had declared."""
    found: dict[str, tuple[bool, bool]] = {}
    groups_of: dict[str, Mapping[str, str]] = {}
    for replay in sorted(replays, key=lambda one: closing(held[one.competition_id])):
        people = [one.employee_id for one in replay.candidates]
        groups_of |= await declared(commands, people, closing(held[replay.competition_id]))
        for one in replay.candidates:
            before, after = found.get(one.employee_id, (False, False))
            found[one.employee_id] = before or one.within_seats_before, after or one.within_seats_after
    return [Chosen(*sides, groups_of.get(employee_id, {})) for employee_id, sides in found.items()]
