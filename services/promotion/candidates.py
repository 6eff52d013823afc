"""The candidates of a competition, and by what it is decided about them."""

from collections.abc import Iterable

from libs.common.commands import Standing
from libs.common.eventsourcing import Context
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id
from libs.facts.catalogue import Catalogue
from services.promotion.candidacies import Candidacies
from services.promotion.candidacy import CANDIDACY, candidacy_key
from services.promotion.candidacy_state import State
from services.promotion.competition import COMPETITION
from services.promotion.competition import State as CompetitionState
from services.promotion.counting import counted_by
from services.promotion.post import State as PostState
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules, QuestionBank
from stepladder.promotion.v1.candidacy_pb2 import Candidacy, CountedBy


class Candidates:
    """Candidacies out of the log, once the read model that finds them has everything."""

    def __init__(
        self,
        service: Service,
        candidacies: Candidacies,
        at_candidacies: Follower,
        catalogue: Catalogue,
        at_catalogue: Follower,
    ) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._candidacies = candidacies
        self._at_candidacies = at_candidacies
        self._catalogue = catalogue
        self._at_catalogue = at_catalogue

    async def of(self, competition_id: str) -> dict[str, Standing[State]]:
        """Every candidacy of a competition, by id, the earliest application first."""
        await self._at_candidacies.catch_up(AT_LEAST_SECONDS)
        ids = await self._candidacies.of_competition(self._engine, competition_id)
        return await self._commands.known(CANDIDACY, ids, latest=True)

    async def coming(self, post: PostState, since: Candidacy.State.ValueType) -> set[str]:
        """Candidacies for seats of a post that have come to a state and whose candidates do not sit yet."""
        opened = await self._commands.known(COMPETITION, post.claims, latest=True)
        listed = [one.candidacy_id for found in opened.values() for one in found.state.on_list]
        candidacies = await self._commands.known(CANDIDACY, listed, latest=True)
        return {
            name
            for name, one in candidacies.items()
            if since <= one.state.stage <= Candidacy.STATE_APPOINTED
            and one.state.applied.employee_id not in post.seated
        }

    async def own(self, competition_ids: Iterable[str], context: Context) -> set[str]:
        """Those of some competitions of which the caller is, or was, a candidate."""
        keys = {candidacy_key(one, caller_id(context)): one for one in competition_ids}
        return {keys[one] for one in await self._commands.known(CANDIDACY, keys, latest=True)}

    async def rules_of(self, competition: CompetitionState) -> CompetitionRules:
        """The rules by which a competition is decided: of the version that it pins."""
        position = competition.opened.rules_position
        await self._at_catalogue.wait_for(position, AT_LEAST_SECONDS)
        return (await self._catalogue.rules(self._engine, position)).version(position).competition

    async def questions_of(self, competition: CompetitionState) -> list[QuestionBank.Question]:
        """What all of them are asked, in the order in which it was drawn; nothing before there is a panel."""
        position = competition.panel.bank_position
        if not position:
            return []
        await self._at_catalogue.wait_for(position, AT_LEAST_SECONDS)
        bank = (await self._catalogue.rules(self._engine, position)).version(position).question_bank
        by_id = {one.question_id: one for one in bank.questions}
        return [by_id[one] for one in competition.panel.question_ids]

    async def counted_by(self, competition: CompetitionState) -> CountedBy:
        """By what the business days of a competition are counted, as it is known now."""
        await self._at_catalogue.catch_up(AT_LEAST_SECONDS)
        return counted_by(await self._catalogue.rules(self._engine), competition.opened.calendar_id)
