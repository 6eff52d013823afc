"""The people of the sample centre: who they are, and what becomes of them."""

import random
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum, auto
from itertools import product

from libs.cli.calls import employee_id

CENTRE = "sample"


class Story(Enum):
    """What becomes of an agent."""

    STEADY = auto()
    SLOW = auto()
    """Handle time far above the band for the last three months."""
    UNKIND = auto()
    """Satisfaction far below target for the last three months."""
    CARELESS = auto()
    """Fatal errors in QA for the last two months."""
    HASTY = auto()
    """Cuts calls off, for the last two months; the handle time looks fine."""
    IMPROVING = auto()
    """Slow in the first half of the time, then better day by day."""
    STAR = auto()
    """Excellent every month, long in the position."""
    RISING = auto()
    """Excellent every month, in the position for seven months only."""
    MOVED = auto()
    """Goes to the next team at half time."""
    LEFT = auto()
    """Gone for the last weeks."""
    AWAY = auto()
    """On leave for the last weeks."""
    NEWCOMER = auto()
    """Hired seven weeks ago, on probation."""
    CONFIRMED_LATELY = auto()
    """Hired nine months ago, confirmed three months later."""


CAST = (
    *(Story.SLOW, Story.STAR, Story.UNKIND, Story.HASTY, Story.IMPROVING, Story.CARELESS, Story.MOVED, Story.LEFT),
    *(Story.AWAY, Story.NEWCOMER, Story.STAR, Story.CONFIRMED_LATELY, Story.RISING, Story.SLOW, Story.STAR),
    *(Story.NEWCOMER, Story.UNKIND, Story.STAR, Story.CONFIRMED_LATELY),
)
"""Stories of the first agents, dealt out team by team; all others are steady."""

STRUGGLES = {
    Story.SLOW: "aht",
    Story.IMPROVING: "aht",
    Story.UNKIND: "customer-satisfaction",
    Story.CARELESS: "qa-fatal-rate",
    Story.HASTY: "short-call-share",
}
"""The KPI that shows the trouble of a story."""

DAYS_TO_RECOVER = 21


@dataclass(frozen=True, slots=True)
class Person:
    """Someone of the centre. Only agents have facts, and other stories than STEADY.

    Attributes:
        position: as in the directory.
        team: index of the team at first.
        since: when the position began.
        last_day: the last day of work.
        trouble_from: when the story's trouble begins; date.max if it never does.
        trouble_until: from when on it gets better; date.max if it never does.
        aht: seconds a call, without trouble.
        utilisation, satisfied, fatal, missed: shares of 1, without trouble; of contacts with a fatal error, and of
            other items of the form that are missed.
    """

    number: int
    name: str
    position: str
    team: int
    story: Story
    hired: date
    since: date
    last_day: date
    trouble_from: date
    trouble_until: date
    aht: float
    utilisation: float
    satisfied: float
    fatal: float
    missed: float

    @property
    def excels(self) -> bool:
        """Excellent in every month."""
        return self.story in {Story.STAR, Story.RISING}

    @property
    def employee_id(self) -> str:
        return employee_id(CENTRE, self.name)

    @property
    def stars(self) -> int:
        """By years of service."""
        return min(5, 1 + (self.last_day - self.hired).days // 600)

    def trouble(self, day: date) -> float:
        """How much of the story's trouble there is on that day: 0 none, 1 all of it."""
        if day < self.trouble_from:
            return 0.0
        return max(0.0, 1 - max(0, (day - self.trouble_until).days) / DAYS_TO_RECOVER)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of a sample centre: `months` full months before the month of `end`, and that month up to `end`."""

    end: date
    months: int

    @property
    def start(self) -> date:
        return self.months_ago(self.months)

    @property
    def half_time(self) -> date:
        return self.months_ago(self.months // 2)

    def months_ago(self, months: int) -> date:
        """The first day of the month that many months before that of `end`."""
        return first_day(month_number(self.end) - months)


def month_number(day: date) -> int:
    """Months since the year 0."""
    return day.year * 12 + day.month - 1


def first_day(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)


def chance(*key: object) -> random.Random:
    """Chance of one's own for each thing, so that a change to one leaves the others as they were."""
    return random.Random("/".join(map(str, key)))  # noqa: S311 - a made-up centre keeps no secrets


def agent(seed: int, number: int, name: str, teams: int, calendar: Calendar) -> Person:
    """The agent of that number; the first ones play the cast."""
    own = chance(seed, "person", number)
    story = CAST[number] if number < len(CAST) else Story.STEADY
    if story is Story.MOVED and teams == 1:
        story = Story.STEADY
    # Tenure from one year and a bit to seven, for the steady also from half a year.
    tenure = (
        200 + int(150 * own.random()) if story is Story.STEADY and number % 5 == 0 else 450 + int(2100 * own.random())
    )
    hired = calendar.end - timedelta(days=tenure)
    last_day, trouble_from, trouble_until = calendar.end, date.max, date.max
    earliest_end = calendar.start + timedelta(days=7)
    match story:
        case Story.SLOW | Story.UNKIND:
            trouble_from = calendar.months_ago(3)
        case Story.CARELESS | Story.HASTY:
            trouble_from = calendar.months_ago(2)
        case Story.IMPROVING:
            trouble_from, trouble_until = calendar.start, calendar.half_time
        case Story.NEWCOMER:
            hired = calendar.end - timedelta(days=49)
        case Story.CONFIRMED_LATELY:
            hired = calendar.end - timedelta(days=270)
        case Story.LEFT:
            last_day = max(calendar.end - timedelta(days=45), earliest_end)
        case Story.AWAY:
            last_day = max(calendar.end - timedelta(days=25), earliest_end)
        case _:
            pass
    excels = story in {Story.STAR, Story.RISING}
    return Person(
        number=number,
        name=name,
        position="agent",
        team=number % teams,
        story=story,
        hired=hired,
        since=calendar.months_ago(7) if story is Story.RISING else hired,
        last_day=last_day,
        trouble_from=trouble_from,
        trouble_until=trouble_until,
        aht=165 + 45 * own.random(),
        utilisation=0.62 + 0.1 * own.random(),
        satisfied=0.972 if excels else 0.932 + 0.023 * own.random(),
        fatal=0.010 + 0.012 * own.random(),
        missed=0.025 if excels else 0.055 + 0.04 * own.random(),
    )


def staff(number: int, name: str, position: str, since: date, team: int, last_day: date) -> Person:
    """Someone who serves no customers, hired three years before the position began; a lead leads that team."""
    return Person(
        number=number,
        name=name,
        position=position,
        team=team,
        story=Story.STEADY,
        hired=since - timedelta(days=1095),
        since=since,
        last_day=last_day,
        trouble_from=date.max,
        trouble_until=date.max,
        aht=0,
        utilisation=0,
        satisfied=0,
        fatal=0,
        missed=0,
    )


_FAMILY_ZH = "王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙 马 朱 胡 郭 何 林 罗 高"
_GIVEN_ZH = "伟 芳 娜 敏 静 丽 强 磊 军 洋 勇 艳 杰 娟 涛 明 超 霞 平 桂英 小红 建国 志强 晓梅 海燕 文博 雨欣 子涵"
_GIVEN = """Ada Bruno Carla Dmitri Elena Felix Grace Hugo Ines Jonas Karin Liam Maya Nils Olivia Paul Quinn Rosa Stefan
    Tessa Uma Viktor Wanda Yara Zeno"""
_FAMILY = """Abbott Becker Castro Dalton Eriksen Ferrari Gruber Hansen Ibarra Jensen Keller Lambert Moreau Novak Okafor
    Petrov Quist Rossi Silva Tanaka Ullman Varga Weber Young Zeller"""


def names(seed: int, count: int) -> list[str]:
    """Different names, Chinese and Western in turn; at most 1120."""
    own = chance(seed, "names")
    chinese = [family + given for family, given in product(_FAMILY_ZH.split(), _GIVEN_ZH.split())]
    western = [f"{given} {family}" for given, family in product(_GIVEN.split(), _FAMILY.split())]
    for pool in (chinese, western):
        pool.sort(key=lambda _: own.random())
    return [(western if number % 2 else chinese)[number // 2] for number in range(count)]
