"""What facts that changed under a candidacy have made of it, in words. Pure."""

from services.promotion.candidacy_state import State
from stepladder.promotion.v1.eligibility_pb2 import Criterion, Eligibility
from stepladder.promotion.v1.events_pb2 import CandidacyDrifted, CandidacyScored
from stepladder.promotion.v1.score_pb2 import Displacement, Score


def standing(criterion: Criterion) -> str:
    """How a criterion stands."""
    return "met" if criterion.met else "waived" if criterion.waiver_position else "not met"


def score_now(state: State) -> Score | None:
    """The score as it would be by what is known now; None of whoever would not be ranked by it."""
    drifted = state.last(CandidacyDrifted)
    score = drifted.score if drifted.HasField("score") else state.last(CandidacyScored).score
    eligible = drifted.eligibility.eligible or not drifted.HasField("eligibility")
    return score if eligible and score.total else None


def has_changed(state: State) -> bool:
    """Whether it is the candidate's own facts out of which something else would come."""
    drifted = state.last(CandidacyDrifted)
    return drifted.HasField("eligibility") or drifted.HasField("score")


def told(state: State, *, named: bool) -> str:
    """What would come out now, beside what came out, in a sentence; empty where nothing is different.

    `named`: with the ids of other candidacies for which it is so.
    """
    drifted, words = state.last(CandidacyDrifted), list[str]()
    if drifted.HasField("eligibility"):
        words += _eligibility(state.applied.eligibility, drifted.eligibility)
    if drifted.HasField("score"):
        words += _score(state.last(CandidacyScored).score, drifted.score)
    if drifted.HasField("displacement"):
        words.append(_displaced(drifted.displacement, state.applied.candidacy_id, named=named))
    return f"Facts have changed since: by what is known now {', and '.join(words)}." if words else ""


def _eligibility(before: Eligibility, now: Eligibility) -> list[str]:
    words = []
    if before.eligible != now.eligible:
        words.append(f"the candidate would {'' if now.eligible else 'not '}have been eligible on {now.as_of}")
    stood = {one.name: standing(one) for one in before.criteria}
    words += [
        f"“{one.display_name or one.name}” would be {standing(one)} ({one.actual})"
        for one in now.criteria
        if stood.get(one.name) != standing(one)
    ]
    return words


def _displaced(found: Displacement, own_id: str, *, named: bool) -> str:
    text = f"the candidate would {'' if found.within_seats else 'not '}be within the seats"
    others = [one for one in found.candidacy_ids if one != own_id]
    if not others:
        return text
    whose = "another candidate" if len(others) == 1 else f"{len(others)} other candidates"
    ids = f" ({', '.join(others)})" if named else ""
    return f"{text}, with the facts of {whose}{ids} that have changed"


def _score(before: Score, now: Score) -> list[str]:
    if before.total != now.total:
        return [f"the total would be {now.total or 'none'}, not {before.total or 'none'}"]
    if before.position_since != now.position_since:
        since, was = (one.position_since or "an unknown day" for one in (now, before))
        return [f"the position would be held since {since}, not {was}, by which ties are told apart"]
    return [f"parts of the score would be others, with the same total of {now.total or 'none'}"]
