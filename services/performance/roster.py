"""Which signals of a roster policy hold of an employee, and what was seen. No verdict. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from libs.common.days import ONE_DAY, Span, month_of
from libs.facts.conduct import counted
from services.performance import detection
from services.performance.trigger import (
    Known,
    baseline_periods,
    look_at,
    references_to_readings,
    references_to_violations,
    weigh,
)
from stepladder.performance.v1.check_in_pb2 import CheckIn
from stepladder.performance.v1.detection_pb2 import FactReference
from stepladder.performance.v1.events_pb2 import AtRiskReviewed
from stepladder.performance.v1.policy_pb2 import DetectionRule, Policy, Roster
from stepladder.performance.v1.roster_pb2 import CheckInReference, HeldSignal

SENSITIVE = ("check_ins", "mood_swing")
"""Tests that rest on check-ins."""


@dataclass(frozen=True)
class Seen:
    """What is known of one employee.

    Attributes:
        known: readings by KPI, ratings and violations, as a detection policy looks at them.
        check_ins: those that stand, as resources, in any order; none for a caller who may not know of any.
        detections: states by the position of their last event.
    """

    known: Known
    check_ins: Sequence[CheckIn] = ()
    detections: Sequence[tuple[int, detection.State]] = ()


def for_managers(policy: Policy) -> Policy:
    """The policy without what does not flow up: as if it had never had such signals."""
    left = Policy()
    left.CopyFrom(policy)
    del left.roster.signals[:]
    left.roster.signals.extend(one for one in policy.roster.signals if one.WhichOneof("test") not in SENSITIVE)
    return left


def reading_since(roster: Roster, as_of: date) -> date:
    """The first day whose readings are looked at; the day itself if none are."""
    return min((_baseline_from(one.trend, as_of) for one in roster.signals if one.HasField("trend")), default=as_of)


def check_ins_wanted(roster: Roster, as_of: date) -> tuple[int, date]:
    """How many of the last check-ins are looked at, and since when all of them are."""
    most = max((one.check_ins.of for one in roster.signals), default=0)
    longest = max((one.mood_swing.days for one in roster.signals), default=0)
    return most, as_of - timedelta(longest - 1)


def held(roster: Roster, seen: Seen, as_of: date) -> list[HeldSignal]:
    """The signals that hold as of a day, in the policy's order; nothing later is looked at."""
    found: list[HeldSignal] = []
    for signal in roster.signals:
        if (shown := _look(signal, seen, as_of)) is not None:
            shown.signal_id, shown.display_name, shown.points = signal.signal_id, signal.display_name, signal.points
            found.append(shown)
    return found


def due(roster: Roster, review: AtRiskReviewed) -> date:
    """By when the next review is to be done: when the last one said, or the policy, whichever is first."""
    rhythm = date.fromisoformat(review.date) + timedelta(roster.review_days)
    return min(rhythm, date.fromisoformat(review.next_review_date))


def _look(signal: Roster.Signal, seen: Seen, as_of: date) -> HeldSignal | None:
    match signal.WhichOneof("test"):
        case "trend":
            return _trend(signal.trend, seen.known, as_of)
        case "ratings":
            return _ratings(signal.ratings, seen.known, as_of)
        case "conduct":
            return _conduct(signal.conduct, seen.known, as_of)
        case "check_ins":
            return _check_ins(signal.check_ins, _until(seen.check_ins, as_of))
        case "mood_swing":
            return _mood_swing(signal.mood_swing, _until(seen.check_ins, as_of), as_of)
        case "detections":
            return _detections(signal.detections, seen.detections, as_of)
        case unknown:
            raise ValueError(f"a signal without a test: {unknown}")


def _trend(trend: Roster.Trend, known: Known, as_of: date) -> HeldSignal | None:
    span = Span(as_of - timedelta(trend.days - 1), as_of)
    weighed = weigh(trend.condition, known, span, _baseline_from(trend, as_of))
    if not weighed.holds:
        return None
    return HeldSignal(
        value=weighed.judged.value,
        baseline=weighed.judged.baseline,
        facts=references_to_readings(weighed.readings),
        disputed=any(one.disputed for one in weighed.readings),
    )


def _baseline_from(trend: Roster.Trend, as_of: date) -> date:
    return as_of - timedelta(trend.days * (1 + baseline_periods(trend.condition)) - 1)


def _ratings(ratings: DetectionRule.RatingStreak, known: Known, as_of: date) -> HeldSignal | None:
    month = month_of(month_of(as_of).start - ONE_DAY)
    if month.start.isoformat()[:7] not in known.ratings:  # months are closed some days after they have ended
        month = month_of(month.start - ONE_DAY)
    facts: list[FactReference] = []
    last, disputed = "", False
    for _ in range(ratings.months):
        looked = look_at(DetectionRule(ratings=ratings), known, month)
        if looked.period.met:
            return None
        last, disputed = last or looked.period.value, disputed or looked.disputed
        facts += looked.period.facts
        month = month_of(month.start - ONE_DAY)
    return HeldSignal(value=last, facts=facts, disputed=disputed)


def _conduct(points: DetectionRule.Points, known: Known, as_of: date) -> HeldSignal | None:
    standing = [one for one in counted(known.violations, as_of) if not one.lapsed]
    total = sum(one.points for one in standing)
    if total < points.at_least:
        return None
    return HeldSignal(
        value=str(total), facts=references_to_violations(standing), disputed=any(one.disputed for one in standing)
    )


def _check_ins(level: Roster.CheckInLevel, check_ins: Sequence[CheckIn]) -> HeldSignal | None:
    mood = level.WhichOneof("level") == "mood_at_most"
    low = [
        one
        for one in check_ins[-level.of :]
        if (one.mood <= level.mood_at_most if mood else one.stress >= level.stress_at_least)
    ]
    return HeldSignal(value=str(len(low)), check_ins=_references(low)) if len(low) >= level.times else None


def _mood_swing(swing: Roster.MoodSwing, check_ins: Sequence[CheckIn], as_of: date) -> HeldSignal | None:
    since = (as_of - timedelta(swing.days - 1)).isoformat()
    recent = [one for one in check_ins if one.date >= since]
    moods = [one.mood for one in recent]
    if not moods or max(moods) - min(moods) < swing.range:
        return None
    ends = [one for one in recent if one.mood in (max(moods), min(moods))]
    return HeldSignal(value=str(max(moods) - min(moods)), check_ins=_references(ends))


def _detections(
    wanted: Roster.StandingDetections, detections: Sequence[tuple[int, detection.State]], as_of: date
) -> HeldSignal | None:
    since = (as_of - timedelta(wanted.days - 1)).isoformat()
    standing = [
        (position, one) for position, one in detections if one.stands and since <= _ended(one) <= as_of.isoformat()
    ]
    if len(standing) < wanted.at_least:
        return None
    facts = [
        FactReference(date=_ended(one), source=one.detection.detection_id, log_position=position)
        for position, one in standing
    ]
    return HeldSignal(value=str(len(standing)), facts=facts, disputed=any(one.drift.disputed for _, one in standing))


def _ended(state: detection.State) -> str:
    return state.detection.periods[-1].end_date


def _until(check_ins: Iterable[CheckIn], as_of: date) -> list[CheckIn]:
    """Check-ins up to a day, the latest last."""
    until = [one for one in check_ins if one.date <= as_of.isoformat()]
    return sorted(until, key=lambda one: (one.date, one.check_in_id))


def _references(check_ins: Iterable[CheckIn]) -> list[CheckInReference]:
    return [
        CheckInReference(
            check_in_id=one.check_in_id,
            date=one.date,
            mood=one.mood,
            stress=one.stress,
            log_position=one.log_position,
        )
        for one in check_ins
    ]
