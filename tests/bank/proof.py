"""What must hold in the end, by the log, the report on separate duties and the case files; and a table for people."""

import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from pypdf import PdfReader

from libs.common.streams import PREFIXES
from stepladder.coaching.v1.case_file_pb2 import ExportCaseFileRequest
from stepladder.coaching.v1.events_pb2 import PipAppealHeard, PipDecided, PlanClosed
from stepladder.coaching.v1.plan_pb2 import GetPlanRequest, Plan
from stepladder.coaching.v1.separation_pb2 import CheckSeparationRequest, SeparationAct
from stepladder.common.v1.audit_pb2 import ReadNoted
from tests.bank.bank import Bank, by
from tests.bank.pips import pip_id
from tests.bank.plans import Case, Coaching, in_words, name_of


class Proof:
    """Asks the services and the log once everything is over."""

    def __init__(self, bank: Bank, coaching: Coaching) -> None:
        self.bank = bank
        self.coaching = coaching
        self.events: Counter[str] = Counter()
        self.case_files: list[str] = []

    async def prove(self, pip: Case) -> None:
        await self._plans()
        await self._repetition()
        await self._log()
        await self._separation(pip)
        value = str(pip.results[pip.kpi])
        await self._case_file(
            f"case file of {pip.title}",
            ("UnderperformanceDetected", "PlanActivated", "ReassessmentFellDue", "PlanClosed", "SessionHeld"),
            (pip.agent, str(pip.baselines[pip.kpi]), value, "not improved", "test calls were counted"),
            plan_id=pip.plan_id,
        )
        await self._case_file(
            f"case file of {pip.agent}'s PIP",
            ("PipDrafted", "PipSentBack", "PipPaused", "PipResumed", "PipDecided", "PipAppealHeard", "PlanClosed"),
            (pip.agent, value, "Nobody sat beside me.", "The trainer was there on both days."),
            employee_id=self.bank.employee(pip.agent),
            pip_id=pip_id(pip),
        )

    async def _plans(self) -> None:
        """Every plan has ended as it was decided, and no drift waits for anybody."""
        plans = self.bank.world.plans
        for case in self.coaching.cases:
            plan = await plans.GetPlan(GetPlanRequest(plan_id=case.plan_id))
            answered = (name_of(plan.outcome), plan.drift_open)
            self.bank.expect(f"{case.title}: in the end", answered, (case.decided, False))
        for one in self.coaching.followed:
            plan = await plans.GetPlan(GetPlanRequest(plan_id=one.plan_id))
            self.bank.expect(
                f"{one.plan_id}: in the end", (plan.outcome, plan.drift_open), (Plan.OUTCOME_CANCELLED, False)
            )

    async def _repetition(self) -> None:
        """Everything that was said is said again, long after, and adds nothing to the log."""
        ends = await self.bank.ends()
        await self.bank.say_everything_again()
        await self.bank.settled()
        self.bank.expect("ends of the log after everything was said again", await self.bank.ends(), ends)

    async def _log(self) -> None:
        """Everything said is one command in the log, and nothing else is; people who work here decide outcomes."""
        service = self.bank.world.services["coaching"]
        commands: set[str] = set()
        deciders: Counter[str] = Counter()
        for name, stream in service.streams.items():
            position, subjects = 0, f"{PREFIXES[name]}.coaching.>"
            last = await stream.last_position(subjects)
            async with stream.feed([subjects], 0) as feed:
                while position < last:
                    for one in await feed.next(1000, wait_seconds=10):
                        recorded = await service.codec.decode(one)
                        position = recorded.position
                        actor = recorded.envelope.actor
                        self.events[recorded.event.DESCRIPTOR.name] += 1
                        if actor.startswith("user:") and not isinstance(recorded.event, ReadNoted):
                            commands.add(recorded.envelope.command_id)
                        if isinstance(recorded.event, PlanClosed | PipDecided | PipAppealHeard):
                            deciders[actor] += 1
        office = self.bank.office
        said = Counter(one.request.DESCRIPTOR.file.package for one in self.bank.said)
        self.bank.expect("commands of people in coaching", len(commands), said["stepladder.coaching.v1"])
        self.bank.expect(
            "deciders", {*deciders} - {f"user:{one}" for one in (office.lead, office.manager, *office.hr)}, set()
        )
        decided = len(self.coaching.cases) + len(self.coaching.followed) + 2
        self.bank.expect("decisions", deciders.total(), decided)

    async def _separation(self, pip: Case) -> None:
        """By the log's own clock, which nobody moves."""
        bank, office = self.bank, self.bank.office
        today = datetime.now(UTC).date()
        request = CheckSeparationRequest(start_date=str(today - timedelta(1)), end_date=str(today + timedelta(1)))
        report = await bank.world.separation.CheckSeparation(request, metadata=by(office.hr[0]))
        bank.expect("violations of separation", [one.sentence for one in report.violations], [])
        plans = len(self.coaching.cases) + len(self.coaching.followed)
        found = sum(case.subject.startswith("log.coaching.plan.") for case in report.cases)
        bank.expect("plans in the report on the separation of duties", found, plans)
        (mine,) = (
            case
            for case in report.cases
            if case.employee_id == bank.employee(pip.agent) and case.subject.startswith("restricted.")
        )
        parts = dict.fromkeys(("DRAFTER", "DELIVERER", "RESULT_PROPOSER"), office.lead)
        parts |= dict(zip(("APPROVER", "DECIDER", "APPEAL_HEARER"), office.hr, strict=True))
        acts = {(SeparationAct.Role.Name(act.role).removeprefix("ROLE_PIP_"), act.actor) for act in mine.acts}
        involved = {actor for part, actor in acts if part == "INVOLVED"}
        acts = {(part, actor) for part, actor in acts if part != "INVOLVED"}
        bank.expect("parts in the PIP", acts, {(part, f"user:{who}") for part, who in parts.items()})
        whether = (f"user:{office.lead}" in involved, f"user:{office.hr[2]}" in involved)
        bank.expect("involved in the PIP: the lead, and who hears the appeal", whether, (True, False))

    async def _case_file(self, what: str, events: Sequence[str], words: Sequence[str], **which: str) -> None:
        """As data, with each of the events once, and to be read, with all of the words."""
        files, who = self.bank.world.case_files, by(self.bank.office.hr[0])
        request = ExportCaseFileRequest(format="json", at_least=await self.bank.world.end(), **which)
        told = json.loads((await files.ExportCaseFile(request, metadata=who)).data)
        found = Counter(entry["event"] for entry in told["entries"])
        self.bank.expect(f"events in the {what}", {one: found[one] for one in events}, dict.fromkeys(events, 1))
        request.format = "pdf"
        printed = (await files.ExportCaseFile(request, metadata=who)).data
        pages = PdfReader(io.BytesIO(printed)).pages
        text = " ".join(" ".join(page.extract_text() for page in pages).split())
        self.bank.expect(f"missing in the printed {what}", [one for one in words if one not in text], [])
        self.case_files.append(
            f"{what}: {len(told['entries'])} entries, {len(pages)} pages in a PDF of {len(printed)} bytes"
        )

    def counts(self) -> Iterator[str]:
        """What it took."""
        bank, coaching, events = self.bank, self.coaching, self.events
        yield (
            f"{len(coaching.cases)} plans and {len(coaching.followed)} that followed, {events['PipClosed']} PIPs, "
            f"{events['SessionHeld']} sessions, {bank.corrections} corrections, "
            f"{events['PlanDriftReviewed']} drifts of plans looked at"
        )
        yield (
            f"{len(bank.said)} commands, all said again with the same answers; {coaching.refusals} refused "
            f"as they must be; {events.total()} events of coaching; {bank.checks} comparisons, "
            f"{len(bank.found)} mismatches"
        )
        yield from self.case_files

    def table(self) -> Iterator[str]:
        """A line for each goal."""
        yield "week 2: from Tuesday on; of short calls: after their stage on Wednesday"
        row = "{:9} {:17} {:>7} {:>7} {:>7}  {:16} {:16} {}"
        yield row.format("agent", "goal", "week 1", "target", "week 2", "suggested", "decided", "drift")
        for case in self.coaching.cases:
            outcomes = (in_words(case.suggested), in_words(case.decided), "; ".join(case.drifts))
            agent = case.agent
            for kpi, target in case.targets.items():
                values = (str(case.baselines[kpi]), target, str(case.results[kpi] or "-"))
                yield row.format(agent, kpi, *values, *outcomes).rstrip()
                agent, outcomes = "", ("", "", "")
