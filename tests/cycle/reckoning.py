"""What must come out, worked out from what was put in and from nothing that the system says."""

from dataclasses import dataclass, field
from fractions import Fraction

from tests.cycle.centre import MONTHS, Centre


@dataclass
class Given:
    """What people gave for one candidate."""

    interviews: dict[str, Fraction] = field(default_factory=dict)
    """By interviewer, in per cent of the full points."""
    manager: int = 0
    peers: list[int] = field(default_factory=list)


@dataclass
class Reckoning:
    """By candidate."""

    centre: Centre
    given: dict[str, Given] = field(default_factory=dict)

    def of(self, employee: str) -> Given:
        return self.given.setdefault(employee, Given())

    def parts(self, employee: str) -> dict[str, Fraction]:
        """Each part's score, 0 to 100; those that have one."""
        given, centre = self.of(employee), self.centre
        pm = centre.pm(employee)
        found = {
            "work": Fraction(sum(centre.quality(employee, month) for month in MONTHS), len(MONTHS)),
            "pm": Fraction(0 if pm < 60 else 60 if pm < 70 else 80 if pm < 80 else 100),
            "interview": sum(given.interviews.values(), Fraction()) / len(given.interviews),
            "manager": Fraction(given.manager),
        }
        if len(given.peers) >= 3:
            found["peers"] = Fraction(sum(given.peers), len(given.peers))
        return found

    def total(self, employee: str) -> str:
        """Rounded half up to two digits."""
        weights = {"work": 40, "pm": 10, "interview": 30, "manager": 10, "peers": 10}
        parts = self.parts(employee)
        exact = sum((weights[one] * score for one, score in parts.items()), Fraction()) / sum(
            weights[one] for one in parts
        )
        hundredths = (exact * 200 + 1) // 2
        return f"{hundredths // 100}.{hundredths % 100:02}"

    def ranking(self, employees: list[str]) -> list[str]:
        """By total, then interview; all have the same tenure, and applied in the order given."""
        return sorted(
            employees,
            key=lambda one: (-Fraction(self.total(one)), -self.parts(one)["interview"], employees.index(one)),
        )
