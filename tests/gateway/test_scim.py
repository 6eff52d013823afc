"""SCIM as identity providers use it, by the requests that Microsoft Entra and Okta send."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from libs.cli.envoy import Envoy
from libs.common.access import ROLES
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_PROBATION,
    Employee,
    GetEmployeeRequest,
    ImportRosterRequest,
    RosterEmployee,
    RosterTeam,
    StaffRoster,
)
from tests.gateway.scim import Answer, Scim, running_scim
from tests.tokens import ISSUER

CORE = "urn:ietf:params:scim:schemas:core:2.0"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
STEPLADDER = "urn:ietf:params:scim:schemas:extension:stepladder:2.0:User"
STEPLADDER_GROUP = "urn:ietf:params:scim:schemas:extension:stepladder:2.0:Group"
NUMBERS = itertools.count(1000)


@pytest.fixture
async def scim(envoy: Envoy) -> AsyncIterator[Scim]:
    async with running_scim(envoy) as running:
        yield running


def person(**more: object) -> dict[str, Any]:
    """A new User with a personnel number of their own."""
    number = next(NUMBERS)
    return {
        "schemas": [f"{CORE}:User", ENTERPRISE],
        "userName": f"Anna.Li.{number}@example.com",
        "externalId": f"00uAb{number}",
        "displayName": "Anna Li",
        "active": True,
        ENTERPRISE: {"employeeNumber": f"E-{number}", "department": "Service"},
        **more,
    }


def patch(*operations: Mapping[str, object]) -> dict[str, object]:
    return {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)}


def replacing(path: str, value: object) -> dict[str, object]:
    return patch({"op": "replace", "path": path, "value": value})


async def created(scim: Scim, path: str, resource: dict[str, Any]) -> dict[str, Any]:
    answer = await scim.ask("POST", path, resource)
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found


async def group(scim: Scim, *members: str) -> dict[str, Any]:
    name = f"Team {next(NUMBERS)} 早班"
    return await created(scim, "/Groups", {"displayName": name, "members": [{"value": one} for one in members]})


async def employee(scim: Scim, employee_id: str, as_of: str = "") -> Employee:
    found: Employee = await scim.directory.GetEmployee(GetEmployeeRequest(employee_id=employee_id, as_of=as_of))
    return found


def problem(answer: Answer) -> tuple[int, str | None]:
    """The status and scimType of an error, which is in SCIM's form."""
    said = answer.json
    assert said["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"], said
    assert (said["status"], answer.headers["content-type"]) == (str(answer.status), "application/scim+json")
    assert said["detail"]
    return answer.status, said.get("scimType")


async def found(scim: Scim, path: str, wanted: str) -> list[str]:
    answer = await scim.ask("GET", f"{path}?filter={quote(wanted)}")
    assert answer.status == 200, answer.body
    return [one["id"] for one in answer.json["Resources"]]


async def test_a_new_person_is_hired_today(scim: Scim) -> None:
    """Under their personnel number, in no team; what nobody keeps is dropped; they are found as providers look."""
    sent = person(name={"givenName": "Anna", "familyName": "Li", "formatted": "Anna Li"}, emails=[{"value": "a@b.c"}])
    user = await created(scim, "/Users", sent)
    assert user["id"] == sent[ENTERPRISE]["employeeNumber"].lower()
    assert (user["userName"], user["name"]) == (sent["userName"], {"givenName": "Anna", "familyName": "Li"})
    assert user[ENTERPRISE] == {"employeeNumber": sent[ENTERPRISE]["employeeNumber"]}
    hired = await employee(scim, user["id"])
    today = datetime.now(UTC).date()
    assert today - timedelta(days=1) <= datetime.fromisoformat(hired.hire_date).date() <= today
    assert (hired.display_name, hired.team_id, hired.status) == ("Anna Li", "unassigned", EMPLOYMENT_STATUS_PROBATION)
    for wanted in (
        f'userName eq "{sent["userName"].upper()}"',
        f'externalId eq "{sent["externalId"]}"',
        f'id eq "{user["id"]}"',
        f'{ENTERPRISE}:employeeNumber eq "{sent[ENTERPRISE]["employeeNumber"]}"',
        f'userName sw "anna.li" and externalId eq "{sent["externalId"]}"',
    ):
        assert await found(scim, "/Users", wanted) == [user["id"]], wanted
    assert await found(scim, "/Users", 'userName eq "nobody@example.com"') == []


async def test_ids_do_not_tell_who_somebody_is(scim: Scim) -> None:
    """Without a personnel number the provider's id is taken; an e-mail address never is."""
    sent = person()
    del sent[ENTERPRISE]
    assert (await created(scim, "/Users", sent))["id"] == sent["externalId"].lower()
    sent = person(externalId="anna.li@example.com")
    del sent[ENTERPRISE]
    assert "anna" not in (await created(scim, "/Users", sent))["id"]


async def test_the_same_put_twice_changes_nothing(scim: Scim) -> None:
    """No event is written; neither by a retry after an answer that was lost. The version stays as well."""
    user = await created(scim, "/Users", person())
    team = (await group(scim))["id"]
    user[STEPLADDER] |= {"team": {"value": team}, "position": "agent", "stars": 2, "status": "confirmed"}
    first = await scim.ask("PUT", f"/Users/{user['id']}", user)
    assert first.status == 200, first.body
    end = await scim.end()
    again = await scim.ask("PUT", f"/Users/{user['id']}", user)
    assert (again.json, again.headers["etag"], await scim.end()) == (first.json, first.headers["etag"], end)
    moved = await employee(scim, user["id"])
    assert (moved.team_id, moved.position, moved.stars, moved.status) == (team, "agent", 2, EMPLOYMENT_STATUS_CONFIRMED)


async def test_what_a_put_leaves_out_stays(scim: Scim) -> None:
    """A provider that knows nothing of teams does not put people out of them; null does."""
    user = await created(scim, "/Users", person())
    team = await group(scim, user["id"])
    plain = {key: user[key] for key in ("schemas", "userName")} | {"displayName": "Anna Wang"}
    assert (await scim.ask("PUT", f"/Users/{user['id']}", plain)).status == 200
    left = await employee(scim, user["id"])
    assert (left.display_name, left.team_id, left.account.external_id) == ("Anna Wang", team["id"], user["externalId"])
    await scim.ask("PUT", f"/Users/{user['id']}", plain | {STEPLADDER: {"team": None}})
    assert (await employee(scim, user["id"])).team_id == "unassigned"


async def test_a_change_from_a_day_on(scim: Scim) -> None:
    """It is not shown before it holds, and holds then."""
    user = await created(scim, "/Users", person())
    team = (await group(scim))["id"]
    wanted = {"op": "add", "value": {f"{STEPLADDER}": {"team": {"value": team}, "effectiveDate": "2199-01-01"}}}
    assert (await scim.ask("PATCH", f"/Users/{user['id']}", patch(wanted))).status in {200, 204}
    assert (await employee(scim, user["id"])).team_id == "unassigned"
    assert (await employee(scim, user["id"], "2199-01-01")).team_id == team


async def test_one_who_has_yet_to_begin(scim: Scim) -> None:
    """Is shown as of the first day; gone before it, they were never there."""
    team = (await group(scim))["id"]
    sent = person(**{STEPLADDER: {"hireDate": "2198-12-31", "team": {"value": team}}})
    user = await created(scim, "/Users", sent)
    assert (user["active"], user[STEPLADDER]["team"]["value"]) == (True, team)
    assert (await scim.ask("DELETE", f"/Users/{user['id']}")).status == 204
    assert (await scim.ask("GET", f"/Users/{user['id']}")).status == 404


async def test_deactivated_and_back(scim: Scim) -> None:
    """As Entra writes it. Who left stays in the directory with all that was, and is taken back as what they were."""
    user = await created(scim, "/Users", person(**{STEPLADDER: {"status": "confirmed", "position": "agent"}}))
    team = (await group(scim, user["id"]))["id"]
    off = patch({"op": "Replace", "path": "active", "value": "False"})
    answer = await scim.ask("PATCH", f"/Users/{user['id']}", off)
    assert answer.status in {200, 204}, answer.body
    assert (await scim.ask("GET", f"/Users/{user['id']}")).json["active"] is False
    assert (await employee(scim, user["id"])).status == EMPLOYMENT_STATUS_LEFT
    assert "members" not in (await scim.ask("GET", f"/Groups/{team}")).json
    on = patch({"op": "replace", "value": {"active": True}})  # as Okta writes it
    assert (await scim.ask("PATCH", f"/Users/{user['id']}", on)).status in {200, 204}
    back = await employee(scim, user["id"])
    assert (back.status, back.team_id, back.position) == (EMPLOYMENT_STATUS_CONFIRMED, team, "agent")


async def test_deleted_and_created_again(scim: Scim) -> None:
    """Deleting is leaving: the facts stay, the account goes, and the same person can come back under their number."""
    sent = person()
    user = await created(scim, "/Users", sent)
    assert (await scim.ask("DELETE", f"/Users/{user['id']}")).status == 204
    assert (await scim.ask("GET", f"/Users/{user['id']}")).status == 404
    assert (await scim.ask("DELETE", f"/Users/{user['id']}")).status == 404
    assert await found(scim, "/Users", f'userName eq "{sent["userName"]}"') == []
    gone = await employee(scim, user["id"])
    assert (gone.status, gone.HasField("account")) == (EMPLOYMENT_STATUS_LEFT, False)
    assert (await created(scim, "/Users", sent))["active"] is True


async def test_a_user_name_is_given_to_somebody_else(scim: Scim) -> None:
    """Without a personnel number nobody can know who is meant: the facts of one who left are not taken for theirs."""
    sent = person(externalId="anna.li@example.com")
    del sent[ENTERPRISE]
    user = await created(scim, "/Users", sent)
    assert (await scim.ask("DELETE", f"/Users/{user['id']}")).status == 204
    assert problem(await scim.ask("POST", "/Users", sent)) == (409, "uniqueness")
    other = await created(scim, "/Users", person(userName=sent["userName"]))
    assert other["id"] != user["id"]


async def test_one_whom_the_directory_knows_from_elsewhere(scim: Scim) -> None:
    """Gets an account, and keeps team and position; a second User for them is refused."""
    sent = person()
    known, team = sent[ENTERPRISE]["employeeNumber"].lower(), (await group(scim))["id"]
    entry = RosterEmployee(employee_id=known, display_name="Anna Li", team_id=team, position="agent")
    await scim.directory.ImportRoster(ImportRosterRequest(roster=StaffRoster(employees=[entry])))
    assert await found(scim, "/Users", f'userName eq "{known}"') == [known]
    user = await created(scim, "/Users", sent)
    assert (user["id"], user[STEPLADDER]["position"], user[STEPLADDER]["team"]["value"]) == (known, "agent", team)
    assert problem(await scim.ask("POST", "/Users", sent)) == (409, "uniqueness")
    other = person(userName=sent["userName"])
    assert problem(await scim.ask("POST", "/Users", other)) == (409, "uniqueness")


async def test_membership_is_said_from_both_sides(scim: Scim) -> None:
    """Groups and Users say the same; who joins another team leaves the one before, in whatever order it is told."""
    anna, ben = [(await created(scim, "/Users", person()))["id"] for _ in range(2)]
    early, late = await group(scim, anna, ben), await group(scim)
    assert {one["value"] for one in early["members"]} == {anna, ben}
    add = patch({"op": "Add", "path": "members", "value": [{"value": anna}]})
    assert (await scim.ask("PATCH", f"/Groups/{late['id']}", add)).status in {200, 204}
    user = (await scim.ask("GET", f"/Users/{anna}")).json
    assert user[STEPLADDER]["team"]["value"] == late["id"]
    assert user[STEPLADDER]["team"]["$ref"].endswith(f"/scim/v2/Groups/{late['id']}")
    assert [one["value"] for one in (await scim.ask("GET", f"/Groups/{early['id']}")).json["members"]] == [ben]
    removals = [
        patch({"op": "Remove", "path": "members", "value": [{"value": anna}]}),  # Entra
        patch({"op": "remove", "path": f'members[value eq "{ben}"]'}),  # Okta
    ]
    for team, removal in zip((late, early), removals, strict=True):
        assert (await scim.ask("PATCH", f"/Groups/{team['id']}", removal)).status in {200, 204}
        assert "members" not in (await scim.ask("GET", f"/Groups/{team['id']}")).json
    end = await scim.end()
    assert (await scim.ask("PATCH", f"/Groups/{late['id']}", removals[0])).status in {200, 204}
    assert await scim.end() == end


async def test_members_as_sets(scim: Scim) -> None:
    """Who is named twice is in it once; who has left is in none, and being named does not stop the others."""
    anna, ben = [(await created(scim, "/Users", person()))["id"] for _ in range(2)]
    gone = (await created(scim, "/Users", person()))["id"]
    assert (await scim.ask("PATCH", f"/Users/{gone}", replacing("active", False))).status == 204
    team = await group(scim, anna)
    members = [{"value": one} for one in (anna, ben, ben, gone)]
    assert (await scim.ask("PATCH", f"/Groups/{team['id']}", replacing("members", members))).status == 204
    found_team = (await scim.ask("GET", f"/Groups/{team['id']}")).json
    assert [one["value"] for one in found_team["members"]] == [anna, ben]


async def test_a_large_team(scim: Scim) -> None:
    """A hundred come with one request, and go with another."""
    names = [f"{next(NUMBERS)}-of-many" for _ in range(100)]
    entries = [
        RosterEmployee(employee_id=one, display_name="A", team_id="many", hire_date="2024-01-01") for one in names
    ]
    roster = StaffRoster(teams=[RosterTeam(team_id="many", display_name="Many")], employees=entries)
    await scim.directory.ImportRoster(ImportRosterRequest(roster=roster), timeout=60)
    team = f"/Groups/{(await group(scim))['id']}"
    members = [{"value": one} for one in names]
    assert (await scim.ask("PATCH", team, patch({"op": "add", "path": "members", "value": members}))).status == 204
    assert [one["value"] for one in (await scim.ask("GET", team)).json["members"]] == names
    assert (await scim.ask("PATCH", team, patch({"op": "remove", "path": "members"}))).status == 204
    assert "members" not in (await scim.ask("GET", team)).json
    gone = StaffRoster(employees=[RosterEmployee(employee_id=one, employed=False) for one in names])
    await scim.directory.ImportRoster(ImportRosterRequest(roster=gone), timeout=60)  # what others list is a page long


async def test_a_team_with_a_lead(scim: Scim) -> None:
    """Its lead, its name and its going; everybody in it is in none after that."""
    anna = (await created(scim, "/Users", person()))["id"]
    team = await group(scim, anna)
    lead = patch(
        {"op": "add", "path": f"{STEPLADDER_GROUP}:lead", "value": {"value": anna}},
        {"op": "replace", "path": "displayName", "value": f"{team['displayName']} neu"},
    )
    assert (await scim.ask("PATCH", f"/Groups/{team['id']}", lead)).status in {200, 204}
    assert (await employee(scim, anna)).lead_id == anna
    assert await found(scim, "/Groups", f'displayName eq "{team["displayName"]} NEU"') == [team["id"]]
    assert problem(await scim.ask("POST", "/Groups", {"displayName": team["displayName"]})) == (409, "uniqueness")
    assert (await scim.ask("DELETE", f"/Groups/{team['id']}")).status == 204
    assert problem(await scim.ask("GET", f"/Groups/{team['id']}")) == (404, None)
    left = await employee(scim, anna)
    assert (left.team_id, left.lead_id) == ("unassigned", "")
    again = await created(scim, "/Groups", {"displayName": team["displayName"]})
    assert again["id"] == team["id"]


async def test_changed_since_it_was_read(scim: Scim) -> None:
    """If-Match guards against it, also where a member of a Group is what has changed."""
    user = await created(scim, "/Users", person())
    team = await group(scim)
    old = {"user": user["meta"]["version"], "team": team["meta"]["version"]}
    assert (await scim.ask("GET", f"/Users/{user['id']}", headers={"if-none-match": old["user"]})).status == 304
    put = user | {"displayName": "Anna Wang", STEPLADDER: {"team": {"value": team["id"]}}}
    assert (await scim.ask("PUT", f"/Users/{user['id']}", put, headers={"if-match": old["user"]})).status == 200
    stale = await scim.ask("PUT", f"/Users/{user['id']}", user, headers={"if-match": old["user"]})
    assert problem(stale) == (412, None)
    rename = patch({"op": "replace", "path": "displayName", "value": "Another"})
    stale = await scim.ask("PATCH", f"/Groups/{team['id']}", rename, headers={"if-match": old["team"]})
    assert problem(stale) == (412, None)


async def test_pages(scim: Scim) -> None:
    """Every User is on one page, and their number on each."""
    mine = {(await created(scim, "/Users", person(displayName="Paged")))["id"] for _ in range(5)}
    wanted, seen = quote('displayName eq "Paged"'), list[str]()
    for start in (1, 3, 5):
        query = f"filter={wanted}&startIndex={start}&count=2"
        answer = (await scim.ask("GET", f"/Users?{query}")).json
        assert answer["totalResults"] == 5
        seen += [one["id"] for one in answer["Resources"]]
    assert (set(seen), len(seen)) == (mine, 5)
    everyone = (await scim.ask("GET", "/Users?count=0")).json
    assert (everyone["totalResults"] >= 5, everyone["Resources"]) == (True, [])


WRONG: list[tuple[str, object, tuple[int, str | None]]] = [
    ("not JSON", b"{", (400, "invalidSyntax")),
    ("no userName", {"schemas": [f"{CORE}:User"], "displayName": "X"}, (400, "invalidValue")),
    ("a list", [1], (400, "invalidSyntax")),
    ("a number for a name", person(displayName={"a": 1}), (400, "invalidValue")),
    ("a team that is not there", person(**{STEPLADDER: {"team": {"value": "t-nowhere"}}}), (400, "invalidValue")),
    ("no day", person(**{STEPLADDER: {"hireDate": "31.12.2026"}}), (400, "invalidValue")),
    ("no status", person(**{STEPLADDER: {"status": "busy"}}), (400, "invalidValue")),
    ("six stars", person(**{STEPLADDER: {"position": "agent", "stars": 6}}), (400, "invalidValue")),
    ("a million stars", person(**{STEPLADDER: {"position": "agent", "stars": 10**12}}), (400, "invalidValue")),
    ("a name without end", person(displayName="x" * 100_000), (400, "invalidValue")),
    ("control characters", person(displayName="a\x00b"), (400, "invalidValue")),
    ("deep", b'{"userName":' + b"[" * 100_000, (400, "invalidSyntax")),
    ("5 MiB", b" " * (5 * 1024 * 1024), (413, None)),
]


@pytest.mark.parametrize(("body", "expected"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
async def test_wrong_input(scim: Scim, body: object, expected: tuple[int, str | None]) -> None:
    """Is refused in SCIM's form, and changes nothing."""
    end = await scim.end()
    answer = await scim.ask("POST", "/Users", body)
    assert (problem(answer)[0], await scim.end()) == (expected[0], end)
    assert problem(answer)[1] in {expected[1], "invalidValue" if expected[1] else None}


async def test_what_cannot_be(scim: Scim) -> None:
    """A hire date that was never; a position taken away; a member that is not there; a path or filter without sense."""
    user = await created(scim, "/Users", person(**{STEPLADDER: {"position": "agent", "hireDate": "2026-01-05"}}))
    team, end = await group(scim), await scim.end()
    path = f"/Users/{user['id']}"
    other_day = user | {STEPLADDER: {**user[STEPLADDER], "hireDate": "2026-01-06"}}
    assert problem(await scim.ask("PUT", path, other_day)) == (400, "mutability")
    taken = patch({"op": "remove", "path": f"{STEPLADDER}:position"})
    assert problem(await scim.ask("PATCH", path, taken)) == (400, "mutability")
    for name in ("", " "):
        assert problem(await scim.ask("PATCH", path, replacing("userName", name))) == (400, "invalidValue")
        assert problem(await scim.ask("PUT", path, user | {"userName": name})) == (400, "invalidValue")
    nobody = patch({"op": "add", "path": "members", "value": [{"value": "e-nobody"}]})
    assert problem(await scim.ask("PATCH", f"/Groups/{team['id']}", nobody)) == (400, "invalidValue")
    assert problem(await scim.ask("GET", f"/Users?filter={quote('userName is 1')}")) == (400, "invalidFilter")
    assert problem(await scim.ask("GET", "/Users?sortBy=userName")) == (501, None)
    assert problem(await scim.ask("POST", "/Bulk", {})) == (501, None)
    assert problem(await scim.ask("GET", "/Users/..%2F..%2Fx")) == (404, None)
    assert problem(await scim.ask("GET", "/Nothing")) == (404, None)
    assert await scim.end() == end


async def test_errors_are_for_people(scim: Scim) -> None:
    """They name the attribute, and nothing of how this is programmed."""
    user = await created(scim, "/Users", person())
    for body in (replacing("active", "maybe"), replacing("name", [1]), replacing("active", {"a": 1})):
        answer = await scim.ask("PATCH", f"/Users/{user['id']}", body)
        assert problem(answer)[0] == 400
        said = answer.json["detail"]
        assert "pydantic" not in said
        assert "\n" not in said
        assert said.endswith((": active", ": name"))


async def test_the_access_matrix(scim: Scim) -> None:
    """Every endpoint is for systems with the role of the directory, and nobody else hears what there is.

    What the service can do is told to everybody (RFC 7643, section 5).
    """
    assert (await scim.ask("GET", "/ServiceProviderConfig", token="")).status == 200
    user, team = await created(scim, "/Users", person()), await group(scim)
    hr = await created(scim, "/Users", person(**{STEPLADDER: {"jobFamily": "hr"}}))
    refused = {
        "": 401,
        "nonsense": 401,
        ISSUER.system("identity-provider", ["directory"], seconds=-3600): 401,
        ISSUER.person(user["id"]): 403,
        ISSUER.person(hr["id"]): 403,
        **{ISSUER.system("other", [role]): 403 for role in ROLES - {"directory"}},
    }
    kinds = (await scim.ask("GET", "/ResourceTypes")).json["Resources"]
    there = {"/Users": user["id"], "/Groups": team["id"]}
    assert there.keys() == {one["endpoint"] for one in kinds}
    asked = [("GET", "/Schemas"), ("GET", "/ResourceTypes"), ("GET", "/Me"), ("POST", "/.search"), ("POST", "/Bulk")]
    for endpoint, one in there.items():
        asked += [("GET", endpoint), ("POST", endpoint), ("POST", f"{endpoint}/.search")]
        asked += [(method, f"{endpoint}/{one}") for method in ("GET", "PUT", "PATCH", "DELETE")]
    for method, path in asked:
        body: object = {} if method.startswith("P") else None
        for token, expected in refused.items():
            answer = await scim.ask(method, path, body, token=token)
            assert problem(answer) == (expected, None), (method, path)
            assert ("www-authenticate" in answer.headers) == (expected == 401)
            none = await scim.ask(method, path.replace(user["id"], "none").replace(team["id"], "none"), token=token)
            assert (none.status, none.json) == (answer.status, answer.json), "hears whether there is something"
        assert (await scim.ask(method, path, body)).status not in {401, 403, 500}, (method, path)


async def test_a_refusal_is_logged(scim: Scim) -> None:
    """Who, and why."""
    with capture_logs() as logs:
        for token in ("nonsense", ISSUER.person("li")):
            await scim.ask("GET", "/Users", token=token)
    assert [(one["reason"], one["actor"]) for one in logs if one["event"] == "call_refused"] == [
        ("TOKEN_INVALID", None),
        ("NOT_FOR_PEOPLE", "user:li"),
    ]


async def test_urls_are_those_that_the_client_called(scim: Scim) -> None:
    """Whatever a caller says in headers that proxies set."""
    user = await created(scim, "/Users", person())
    forged = {"x-forwarded-host": "evil.example", "x-forwarded-prefix": "/x", "x-forwarded-port": "1"}
    answer = await scim.ask("GET", f"/Users/{user['id']}", headers=forged)
    assert answer.json["meta"]["location"] == f"http://127.0.0.1:{scim.port}/scim/v2/Users/{user['id']}"


async def test_two_at_once_for_the_same_person(scim: Scim) -> None:
    """One is created, and the other told so."""
    sent = person()
    answers = await asyncio.gather(*(scim.ask("POST", "/Users", sent) for _ in range(4)))
    statuses = sorted(one.status for one in answers)
    assert statuses[0] == 201
    assert set(statuses[1:]) <= {409, 412}
    assert await found(scim, "/Users", f'userName eq "{sent["userName"]}"') == [
        sent[ENTERPRISE]["employeeNumber"].lower()
    ]


async def test_two_at_once_for_the_same_user_name(scim: Scim) -> None:
    """One gets it, whoever they are, and the others are told so."""
    sent = [person(userName="the-same@example.com") for _ in range(4)]
    answers = await asyncio.gather(*(scim.ask("POST", "/Users", one) for one in sent))
    assert sorted(one.status for one in answers) == [201, 409, 409, 409]
    assert {problem(one) for one in answers if one.status == 409} == {(409, "uniqueness")}
    assert len(await found(scim, "/Users", 'userName eq "the-same@example.com"')) == 1
