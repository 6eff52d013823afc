"""What follows from an attempt: done, sent again and when, given up, or the webhook paused. Pure.

A failing event does not hold up the others, except those of the same key, which wait behind it. A receiver that takes
nothing is tried with what waits, and with next to nothing that is new. An event whose attempts are used up is given
up if others were taken in between; if not, the receiver is at fault: the webhook is paused, and the event waits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from stepladder.gateway.v1.webhook_pb2 import Attempt, Webhook

SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
"""How long after each failed attempt the next one is (Standard Webhooks 1.0, "Deliverability and reliability")."""
JITTER = 0.1
"""By up to what share of it a pause is longer, so that what failed together does not come together."""
DOWN_AFTER = 5
"""So many attempts that fail with none in between that succeeds: the receiver takes nothing."""


GONE = 410
LONGEST_WAIT = timedelta(hours=24)
"""For so long at most a receiver is left alone that asks for it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a message: the status code of the response, or 0 and the reason why there is none.

    `wait` is how long the receiver asks to be left alone, at most LONGEST_WAIT.
    """

    time: datetime
    milliseconds: int
    status: int = 0
    error: str = ""
    excerpt: str = ""
    wait: timedelta = timedelta()

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Item:
    """An event to be sent. What has the same `key` is sent in order; `tries` counts the attempts before, the first of
    which was at `first_time`."""

    position: int
    event_id: str
    event_type: str
    key: str
    body: bytes
    tries: int = 0
    first_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a webhook is; `revision` grows with every commit, `starts` is that of its state when it last began anew."""

    webhook_id: str
    revision: int = 0
    starts: int = 0
    failures: int = 0
    failing_since: datetime | None = None
    taken_time: datetime | None = None
    held_until: datetime | None = None
    given_up: int = 0

    @property
    def down(self) -> bool:
        """Whether its receiver takes nothing."""
        return self.failures >= DOWN_AFTER

    def anew(self, starts: int) -> "Standing":
        """As if nothing had failed."""
        return Standing(self.webhook_id, self.revision + 1, starts, taken_time=self.taken_time, given_up=self.given_up)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows for an event: it waits until `due_time`, or no longer.

    `answer`: None for one that was not sent, because it waits behind another of its key.
    """

    item: Item
    answer: Answer | None
    outcome: Attempt.Outcome.ValueType = Attempt.OUTCOME_UNSPECIFIED
    due_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What follows from attempts for a webhook; `cause`: by what it is to be paused, if it is."""

    standing: Standing
    verdicts: Sequence[Verdict]
    cause: Webhook.PauseCause.ValueType


def judge(standing: Standing, results: Sequence[tuple[Item, Answer | None]], now: datetime, chance: Random) -> Judged:
    """What follows from what came of some events."""
    answers = [answer for _, answer in results if answer is not None]
    taken = any(answer.taken for answer in answers)
    taken_time = now if taken else standing.taken_time
    verdicts = [_judge_one(item, answer, taken_time, now, chance) for item, answer in results]
    cause = Webhook.PAUSE_CAUSE_UNSPECIFIED
    if any(one.outcome == Attempt.OUTCOME_RETRYING and one.item.tries > len(SCHEDULE) for one in verdicts):
        cause = Webhook.PAUSE_CAUSE_FAILING
    if any(answer.status == GONE for answer in answers):
        cause = Webhook.PAUSE_CAUSE_GONE
    held = standing.held_until if standing.held_until and standing.held_until > now else None
    after = replace(
        standing,
        revision=standing.revision + 1,
        taken_time=taken_time,
        held_until=max([now + one.wait for one in answers if one.wait], default=held),
        given_up=standing.given_up + sum(one.outcome == Attempt.OUTCOME_GIVEN_UP for one in verdicts),
    )
    if taken:
        after = replace(after, failures=0, failing_since=None)
    elif answers:
        failing_since = standing.failing_since or now
        after = replace(after, failures=standing.failures + len(answers), failing_since=failing_since)
    return Judged(after, verdicts, cause)


def _judge_one(
    item: Item, answer: Answer | None, taken_time: datetime | None, now: datetime, chance: Random
) -> Verdict:
    if answer is None:
        return Verdict(item, None, due_time=now)
    tried = replace(item, tries=item.tries + 1, first_time=item.first_time or now)
    if answer.taken:
        return Verdict(tried, answer, Attempt.OUTCOME_TAKEN)
    if tried.tries <= len(SCHEDULE):
        pause = SCHEDULE[tried.tries - 1] * (1 + chance.random() * JITTER)
        return Verdict(tried, answer, Attempt.OUTCOME_RETRYING, now + max(pause, answer.wait))
    if taken_time is not None and item.first_time is not None and taken_time > item.first_time:
        return Verdict(tried, answer, Attempt.OUTCOME_GIVEN_UP)
    return Verdict(tried, answer, Attempt.OUTCOME_RETRYING, now)
