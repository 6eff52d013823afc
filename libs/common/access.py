"""Who may call what: the rules of `access.toml`, a row for each method. A method without a row is denied to everybody.

Pure, but for reading that file once.
"""

import math
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from libs.common.errors import Forbidden, Unauthenticated

EVERYONE = "everyone"
"""Also who shows no token."""
SYSTEM = "system:"
"""What a system's words begin with; the role follows."""
ROLES = frozenset({"directory", "events", "facts", "operator", "policies"})
"""Roles of systems."""
OPERATOR = "operator"
"""The one that operates the system."""
STANDING = frozenset({"employee", "hr", "qa", "executive"})
"""What a person is to the whole centre, whomever a call is about."""
RELATIONS = frozenset({"self", "lead", "manager"})
"""What a person is to an employee, by the directory as of the day."""
IN_A_MATTER = frozenset(
    {
        "addressee",
        "drafter",
        "hearer",
        "holder",
        "interviewer",
        "led",
        "member",
        "mentor",
        "owner",
        "peer",
        "reviewer",
        "reviewing-lead",
        "reviewing-manager",
        "trainer",
        "witness",
    }
)
"""What a person is in one matter only, such as the witness of a delivery."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a token speaks for: a person (`user:<employee id>`), or a system (`system:<name>`) with `roles`.

    And until when it does: seconds since 1970, the time that clocks may differ included.
    """

    actor: str
    roles: frozenset[str] = frozenset()
    until: float = field(default=math.inf, compare=False)


class Admission:
    """Who may make a call (`may`: words of its row), and whether it was found that the caller is one of them.

    `roles`, `until`: of the caller.
    """

    def __init__(
        self, may: frozenset[str] = frozenset(), roles: frozenset[str] = frozenset(), until: float = math.inf
    ) -> None:
        self.may = may
        self.roles = roles
        self.until = until
        self._always = {EVERYONE, *(f"{SYSTEM}{role}" for role in roles)}
        self.granted = False
        self.admits(())

    def admits(self, held: Collection[str]) -> bool:
        """Whether one who is that may: a system by its role, whatever the call is about."""
        found = not self.may.isdisjoint(self._always.union(held))
        self.granted |= found
        return found

    def check(self, held: Collection[str]) -> None:
        """Raises Forbidden `NEED_TO_KNOW` unless one who is that may."""
        if not self.admits(held):
            raise need_to_know()

    @property
    def by_standing(self) -> bool:
        """Whether what the caller is to the whole centre decides, whomever the call is about."""
        return not self.granted and {word for word in self.may if not word.startswith(SYSTEM)} <= STANDING


def read_rules(text: str) -> dict[str, frozenset[str]]:
    """Rows by full name of the method. Raises ValueError for a word that means nothing."""
    known = {EVERYONE, *(f"{SYSTEM}{role}" for role in ROLES)} | STANDING | RELATIONS | IN_A_MATTER
    rules: dict[str, frozenset[str]] = {}
    for service, methods in tomllib.loads(text).items():
        for method, words in methods.items():
            if not words or not known.issuperset(words):
                raise ValueError(f"{service}/{method}: {words} are not all words of who may")
            rules[f"{service}/{method}"] = frozenset(words)
    return rules


RULES: Mapping[str, frozenset[str]] = read_rules(Path(__file__).with_name("access.toml").read_text())


def admit(method: str, caller: Caller | None, rules: Mapping[str, frozenset[str]] = RULES) -> Admission:
    """Lets a caller, None without a token, on as far as can be told without the directory.

    Raises Unauthenticated `TOKEN_MISSING`; Forbidden `NO_RULE`, `ROLE_MISSING`, `NOT_FOR_PEOPLE`.
    """
    may = rules.get(method, frozenset())
    if not may:
        raise Forbidden("NO_RULE", "nobody may call this: no rule says who")
    if caller is None:
        if EVERYONE not in may:
            raise token_missing()
        return Admission(may)
    admission = Admission(may, caller.roles, caller.until)
    if admission.granted:
        return admission
    systems = sorted(word.removeprefix(SYSTEM) for word in may if word.startswith(SYSTEM))
    if caller.roles:
        who = " or ".join(f"stepladder.{role}" for role in systems)
        what = f"systems that call this need the role {who}" if who else "this is for people to call, not for systems"
        raise Forbidden("ROLE_MISSING", what)
    if len(systems) == len(may):
        raise Forbidden("NOT_FOR_PEOPLE", "this is for systems to call; people read or change it by other calls")
    return admission


def need_to_know() -> Forbidden:
    """One refusal, in the same words whatever is behind it."""
    return Forbidden(
        "NEED_TO_KNOW",
        "you are not among those who may see or do this; the API's description of this call says who may",
    )


def token_missing() -> Unauthenticated:
    return Unauthenticated("TOKEN_MISSING", "send a token of your identity provider: authorization: Bearer <token>")
