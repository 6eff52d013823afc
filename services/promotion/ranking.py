"""The order of a competition's candidates, and what would have changed it. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from functools import partial
from hashlib import sha256

from services.promotion.scoring import exact, fraction, smallest, with_part
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1.score_pb2 import Displacement, Ranked, Score
from stepladder.promotion.v1.scoring_pb2 import PartChange, RankingReplay, ScoreExplanation


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody with a total.

    Attributes:
        score_position: of the event that holds the score.
        position_since: since when they held the position that they held when applications closed; None: not known.
        applied_position: of the application in the log.
    """

    candidacy_id: str
    employee_id: str
    score: Score
    score_position: int
    position_since: date | None
    applied_position: int


def rank(rules: CompetitionRules, seed: str, candidates: Iterable[Candidate]) -> list[Ranked]:
    """By rank, whatever the order in which they come: the higher total first; equal ones by the rules' ties.

    `seed`: of the lots, here and below.
    """
    ranking: list[Ranked] = []
    before: Candidate | None = None
    for one in sorted(candidates, key=lambda one: _key(rules, seed, one)):
        ties = compared(rules, seed, one, before) if before else []
        ranking.append(
            Ranked(
                candidacy_id=one.candidacy_id,
                employee_id=one.employee_id,
                total=one.score.total,
                rank=len(ranking) + 1,
                tie_broken_by=ties[-1].rule if ties else "",
                score_position=one.score_position,
                passed=_passed(rules, one),
                position_since=one.position_since.isoformat() if one.position_since else "",
                applied_position=one.applied_position,
            )
        )
        before = one
    return ranking


def within(ranking: Iterable[Ranked], seats: int) -> list[Ranked]:
    """Those who passed, by rank, as many as there are seats."""
    return [one for one in ranking if one.passed][:seats]


def replayed(
    rules: CompetitionRules, seed: str, seats: int, ranking: Sequence[Ranked], candidates: Sequence[Candidate]
) -> list[RankingReplay.Candidate]:
    """What became of the candidates of a ranking, and what would have under other rules: by the rank that they had.

    `candidates` are the same with their scores under the other rules: whoever has no total has no rank.
    """
    made = rank(rules, seed, [one for one in candidates if one.score.total])
    after = {one.candidacy_id: one for one in made}
    seated, would_be = ({one.candidacy_id for one in within(each, seats)} for each in (ranking, made))
    scores = {one.candidacy_id: one.score for one in candidates}
    return [
        RankingReplay.Candidate(
            candidacy_id=one.candidacy_id,
            employee_id=one.employee_id,
            rank_before=one.rank,
            rank_after=after[one.candidacy_id].rank if one.candidacy_id in after else 0,
            total_before=one.total,
            total_after=scores[one.candidacy_id].total,
            within_seats_before=one.candidacy_id in seated,
            within_seats_after=one.candidacy_id in would_be,
            missing=[
                RankingReplay.Missing(part_id=part.part_id, missing=part.missing)
                for part in scores[one.candidacy_id].parts
                if part.missing
            ],
        )
        for one in ranking
    ]


def displaced(
    rules: CompetitionRules,
    seed: str,
    seats: int,
    ranking: Sequence[Ranked],
    scores: Mapping[str, Score],
    changed: Collection[str],
) -> dict[str, Displacement]:
    """Who of a ranking would be within the seats and is not, or the other way round, by candidacy.

    `scores` as they would be, with a total, of whoever would be ranked; `changed`: candidacies whose facts are others.
    """
    made = rank(
        rules, seed, [_ranked_as(one, scores[one.candidacy_id]) for one in ranking if one.candidacy_id in scores]
    )
    seated, would_be = ({one.candidacy_id for one in within(each, seats)} for each in (ranking, made))
    before, after = ({one.candidacy_id: one.rank for one in each} for each in (ranking, made))
    last = len(ranking) + 1

    def crossed(one: str, other: str) -> bool:
        return one == other or (before[other] < before[one]) != (after.get(other, last) < after.get(one, last))

    return {
        one: Displacement(
            within_seats=one in would_be,
            candidacy_ids=[other for other in before if other in changed and crossed(one, other)],
        )
        for one in before
        if (one in seated) != (one in would_be)
    }


def compared(rules: CompetitionRules, seed: str, one: Candidate, other: Candidate) -> list[ScoreExplanation.Comparison]:
    """What two with the same total were compared by, up to the rule that told them apart; nothing if totals differ."""
    found: list[ScoreExplanation.Comparison] = []
    if Fraction(one.score.total) != Fraction(other.score.total):
        return found
    for tie in rules.ties:
        (own, own_text), (others, others_text) = (_by(tie, seed, each) for each in (one, other))
        found.append(ScoreExplanation.Comparison(rule=named(tie), own=own_text, other=others_text))
        if own != others:
            break
    return found


def changes(
    rules: CompetitionRules, seed: str, candidates: Sequence[Candidate], candidacy_id: str, seats: int
) -> list[PartChange]:
    """For each part what it alone would have had to be for a candidate to be within the seats, all else as it was."""
    (candidate,) = (one for one in candidates if one.candidacy_id == candidacy_id)
    others = sorted(
        _key(rules, seed, one) for one in candidates if one.candidacy_id != candidacy_id and _passed(rules, one)
    )

    def enough(part_id: str, value: Fraction) -> bool:
        changed = replace(candidate, score=with_part(rules, candidate.score, part_id, value))
        if not changed.score.total or not _passed(rules, changed):
            return False
        return seats > 0 and (len(others) < seats or _key(rules, seed, changed) < others[seats - 1])

    found = []
    for part, scored in zip(rules.parts, candidate.score.parts, strict=True):
        least = smallest(rules, part, partial(enough, part.part_id))
        change = PartChange(part_id=part.part_id, display_name=part.display_name)
        if scored.HasField("score"):
            change.score.CopyFrom(scored.score)
        if least is not None:
            change.enough.CopyFrom(exact(least))
        found.append(change)
    return found


def named(tie: CompetitionRules.Tie) -> str:
    """A part's id, `TENURE`, `APPLIED_FIRST` or `LOT`."""
    return tie.part_id or CompetitionRules.Rule.Name(tie.rule).removeprefix("RULE_")


def explain(
    rules: CompetitionRules,
    competition_id: str,
    seed: str,
    seats: int,
    ranking: Sequence[Ranked],
    scores: Mapping[str, Score],
    candidacy_id: str,
    *,
    listed: bool = False,
) -> ScoreExplanation:
    """How a candidate of a ranking came out, and what would have changed it, unless they were listed later after all.

    `scores` by candidacy, of all of them.
    """
    candidates = {one.candidacy_id: _ranked_as(one, scores[one.candidacy_id]) for one in ranking}
    place = next(place for place, one in enumerate(ranking) if one.candidacy_id == candidacy_id)
    ranked, mine = ranking[place], candidates[candidacy_id]
    seated = candidacy_id in [one.candidacy_id for one in within(ranking, seats)]
    before = candidates[ranking[place - 1].candidacy_id] if place else None
    return ScoreExplanation(
        candidacy_id=candidacy_id,
        competition_id=competition_id,
        employee_id=ranked.employee_id,
        score=mine.score,
        ranked=ranked,
        candidates=len(ranking),
        seats=seats,
        within_seats=seated,
        lot_seed=seed,
        comparisons=compared(rules, seed, mine, before) if before else [],
        changes=[] if seated or listed else changes(rules, seed, list(candidates.values()), candidacy_id, seats),
    )


def without_names(rules: CompetitionRules, explanation: ScoreExplanation) -> ScoreExplanation:
    """For those who are not told who the interviewers and the other candidates are, nor what these came to: what would
    have been enough gives away the total of the last within the seats.
    """
    told = ScoreExplanation()
    told.CopyFrom(explanation)
    del told.changes[:]
    for comparison in told.comparisons:
        comparison.other = ""
    sources = {part.part_id: part.WhichOneof("source") for part in rules.parts}
    for part in told.score.parts:
        source = sources[part.part_id]
        if source not in {"interview", "manager"}:
            continue
        for inputs in (part.inputs, part.not_counted):
            given = sorted(inputs, key=lambda one: fraction(one.value))
            del inputs[:]
            for number, one in enumerate(given, 1):
                name = f"interviewer-{number}" if source == "interview" else "manager"
                inputs.add(name=name, value=one.value, disputed=one.disputed)
    return told


def _ranked_as(one: Ranked, score: Score) -> Candidate:
    """The candidate as ranked, with a score: where ties are told apart by the position, it says since when."""
    since = date.fromisoformat(score.position_since) if score.position_since else None
    return Candidate(one.candidacy_id, one.employee_id, score, one.score_position, since, one.applied_position)


def lot(seed: str, candidacy_id: str) -> str:
    """The draw of a candidate, in hexadecimal digits; the lowest comes first. Stored for ever."""
    return sha256(f"{seed}/{candidacy_id}".encode()).hexdigest()


def _key(rules: CompetitionRules, seed: str, one: Candidate) -> tuple[Fraction | int | str, ...]:
    """The smaller comes first."""
    return (-Fraction(one.score.total), *(_by(tie, seed, one)[0] for tie in rules.ties))


def _by(tie: CompetitionRules.Tie, seed: str, one: Candidate) -> tuple[Fraction | int | str, str]:
    """What a rule looks at: the smaller comes first; and how it reads. What is missing comes behind what is there."""
    if tie.part_id:
        part = next(part for part in one.score.parts if part.part_id == tie.part_id)
        return (-fraction(part.score), part.score.value) if part.HasField("score") else (1, "")
    match tie.rule:
        case CompetitionRules.RULE_TENURE:
            since = one.position_since or date.max
            return since.toordinal(), one.position_since.isoformat() if one.position_since else ""
        case CompetitionRules.RULE_APPLIED_FIRST:
            return one.applied_position, str(one.applied_position)
        case _:
            drawn = lot(seed, one.candidacy_id)
            return drawn, drawn


def _passed(rules: CompetitionRules, one: Candidate) -> bool:
    return not rules.pass_mark or Fraction(one.score.total) >= Fraction(rules.pass_mark)
