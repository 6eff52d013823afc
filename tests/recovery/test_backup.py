"""A backup holds the log as of one moment, or it is none; restored, it is the same log."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from libs.cli.embedded import CannotStart
from libs.cli.recovering import back_up, restore
from libs.common import backup as module
from libs.common.archive import read_manifest
from libs.common.backup import KIND, one_moment, read_log, read_rows
from libs.common.database import open_database
from libs.common.errors import NotAllowed, Refused
from libs.common.inspecting import WrongConfiguration, check_configuration
from libs.common.jetstream import (
    JetStreamStream,
    begin_restoring,
    create_streams,
)
from libs.common.streams import LOG, LOG_RESTRICTED, STREAMS
from tests.recovery.places import Place, running_place


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A log with something in each stream, and a webhook's delivery state."""
    async with running_place(tmp_path / "original", streams=True) as place:
        await place.write("log.performance.thing.1", "a", "b", "c", person="e-1")
        await place.write("log.performance.thing.2", "d", person="e-2")
        await place.write("log.performance.thing.1", "e")
        await place.write("restricted.coaching.pip.1", "f", "g")
        await place.write("events.a.b.v1.t.e", "h", "i")
        async with place.keys() as keys:
            await keys.get_or_create("e-1")
            await keys.get_or_create("e-2")
        await execute(place, "INSERT INTO webhook_lanes (webhook_id, lane, position) VALUES ('w', 0, 1)")
        waits = "INSERT INTO webhook_waiting (webhook_id, position, key, tries, due_time)"
        await execute(place, f"{waits} VALUES ('w', 1, 'k', 3, '2026-01-31 08:00:00.000000')")
        yield place


async def execute(place: Place, statement: str) -> list[tuple[object, ...]]:
    engine = open_database(place.settings.database_for("gateway"))
    async with engine.begin() as transaction:
        result = await transaction.execute(text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    await engine.dispose()
    return rows


def kek(place: Place) -> bytes:
    return place.settings.kek_file.read_bytes()


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("streams", [False, True])
async def test_what_is_restored_is_the_same(place: Place, tmp_path: Path, nodes: int, streams: bool) -> None:
    """Positions, subjects, ids, types, bytes and times, the keys, and how far webhooks are; and services may start."""
    # when
    assert await back_up(tmp_path / "b", tmp_path / "k", place.as_user("backup")) == 0
    async with running_place(tmp_path / "other", nodes=nodes, streams=streams, kek=kek(place)) as other:
        await restore(tmp_path / "b", tmp_path / "k", other.as_user("restore"))
        # then
        found, wanted = await other.contents(), await place.contents()
        for name in STREAMS:
            assert [(one.position, one.subject, one.entry) for one in found[name]] == [
                (one.position, one.subject, one.entry) for one in wanted[name]
            ]
        async with place.keys() as before, other.keys() as after:
            assert await before.get("e-1") == await after.get("e-1") is not None
        for table in module.WEBHOOKS:
            everything = f"SELECT * FROM {table}"  # noqa: S608 - our own names
            assert await execute(other, everything) == await execute(place, everything)
        async with other.connected("restore") as client:
            await check_configuration(client, nodes, other.settings.nats_monitor_url)


async def test_a_backup_says_what_it_is(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line of JSON, and nobody else may read the files; keys are in a folder of their own, and no key of keys."""
    await back_up(tmp_path / "b", tmp_path / "k", place.as_user("backup"))
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["events"] == {"LOG": 5, "LOG_RESTRICTED": 2, "EVENTS": 2}
    assert (told["broken"], told["keys"]) == (0, 2)
    files = [file for folder in ("b", "k") for file in (tmp_path / folder).iterdir()]
    assert {file.stat().st_mode & 0o077 for file in [*files, tmp_path / "b", tmp_path / "k"]} == {0}
    secret = kek(place).strip()
    assert not any(secret in file.read_bytes() for file in files)


async def test_the_time_at_which_something_was_known_stays(place: Place, tmp_path: Path) -> None:
    """Positions of a moment are those of before, though all of it was written anew; what comes later is behind."""
    wanted = [datetime.fromisoformat(one.entry.written) for one in (await place.contents())[LOG]]
    await back_up(tmp_path / "b", None, place.as_user("backup"))
    async with running_place(tmp_path / "other") as other:
        await restore(tmp_path / "b", None, other.as_user("restore"))
        restored = datetime.now(UTC)
        other.ends, other.hashes = place.ends, place.hashes
        await other.write("log.performance.thing.2", "later")
        async with other.connected("performance") as client:
            stream = JetStreamStream(client, LOG)
            assert await stream.position_before(wanted[0]) == 0
            assert await stream.position_before(wanted[3]) == 3
            assert await stream.position_before(wanted[4]) == 4
            assert await stream.position_before(restored) == 5
            assert await stream.position_before(datetime.now(UTC)) == 6


async def test_a_restored_log_can_be_backed_up(place: Place, tmp_path: Path) -> None:
    """With the times of the first."""
    await back_up(tmp_path / "b", None, place.as_user("backup"))
    async with running_place(tmp_path / "other") as other:
        await restore(tmp_path / "b", None, other.as_user("restore"))
        await back_up(tmp_path / "b2", None, other.as_user("backup"))
    first, second = read_manifest(tmp_path / "b", KIND), read_manifest(tmp_path / "b2", KIND)
    assert first["files"] == second["files"]


class Writers:
    """Write to LOG and LOG_RESTRICTED in turn, each event naming the one in the other stream that it rests on."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.rests_on: dict[str, list[int]] = {LOG: [0], LOG_RESTRICTED: [0]}
        """By stream and position, the position in the other stream."""

    async def run(self) -> None:
        async with self._place.connected("performance") as open_, self._place.connected("coaching") as closed:
            ends = {name: (await JetStreamStream(open_, name).state()).last for name in self.rests_on}
            for name, end in ends.items():
                self.rests_on[name] = [0] * (end + 1)
            while True:
                restricted = len(self.rests_on[LOG_RESTRICTED]) - 1
                self.rests_on[LOG].append(restricted)
                await self._place.append(open_, "log.performance.thing.w", f"{restricted}")
                if len(self.rests_on[LOG]) % 2:
                    self.rests_on[LOG_RESTRICTED].append(len(self.rests_on[LOG]) - 1)
                    await self._place.append(closed, "restricted.coaching.pip.w", "x")

    def dangling(self, ends: dict[str, int]) -> bool:
        """Whether something within these ends rests on something beyond them."""
        return max(self.rests_on[LOG][: ends[LOG] + 1]) > ends[LOG_RESTRICTED] or (
            max(self.rests_on[LOG_RESTRICTED][: ends[LOG_RESTRICTED] + 1]) > ends[LOG]
        )


async def test_nothing_rests_on_what_is_not_there(place: Place) -> None:
    """However much is written meanwhile. Looking at one stream after the other would not do."""
    writers = Writers(place)
    writing = asyncio.create_task(writers.run())
    async with place.connected("backup") as client:
        streams = {name: JetStreamStream(client, name) for name in STREAMS}
        while len(writers.rests_on[LOG_RESTRICTED]) < 10:
            await asyncio.sleep(0.01)
        moments = [await one_moment(streams) for _ in range(50)]
        naive = []
        for _ in range(10):
            log = (await streams[LOG].state()).last
            while (restricted := (await streams[LOG_RESTRICTED].state()).last) < len(writers.rests_on[LOG_RESTRICTED]):
                if writers.dangling({LOG: log, LOG_RESTRICTED: restricted}):
                    break
            naive.append({LOG: log, LOG_RESTRICTED: restricted})
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    assert len({moment[LOG] for moment in moments}) > 10
    assert not any(writers.dangling(moment) for moment in moments)
    assert any(writers.dangling(ends) for ends in naive)


async def test_half_a_command_is_not_kept(place: Place) -> None:
    """A moment in the middle of what was written together is none."""
    async with place.connected("backup") as client:
        stream = JetStreamStream(client, LOG)
        assert [one.more async for one in stream.copy(0, 5)] == [True, True, False, False, False]


def damaged(folder: Path) -> bool:
    """Whether a reader finds out that a backup is not what was written."""
    try:
        manifest = read_manifest(folder, KIND)
        read_log(folder, manifest, lambda _: None)
        read_rows(folder, manifest)
    except NotAllowed as refusal:
        return refusal.reason == "BACKUP_DAMAGED" and str(folder) in refusal.message
    return False


async def test_every_damage_is_found(place: Place, tmp_path: Path) -> None:
    """Each byte turned over, each length cut to, a file missing, lengthened, or taken from another backup."""
    folder, other = tmp_path / "b", tmp_path / "b2"
    await back_up(folder, None, place.as_user("backup"))
    await place.write("log.performance.thing.2", "more")
    await back_up(other, None, place.as_user("backup"))
    assert not damaged(folder)
    for file in list(folder.iterdir()):
        whole = file.read_bytes()
        for at in range(len(whole)):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
            assert damaged(folder), f"{file.name} at {at}"
        for length in range(len(whole)):
            file.write_bytes(whole[:length])
            assert damaged(folder) or whole[length:].isspace(), f"{file.name} cut to {length}"
        file.write_bytes(whole + whole[-40:])
        assert damaged(folder)
        if (other / file.name).read_bytes() != whole:
            shutil.copy(other / file.name, file)
            assert damaged(folder)
        file.unlink()
        if file.name != "manifest.json":
            assert damaged(folder)
        file.write_bytes(whole)
    assert not damaged(folder)


async def test_a_damaged_backup_is_not_restored(place: Place, tmp_path: Path) -> None:
    """Not even in part, and it says where."""
    await back_up(tmp_path / "b", None, place.as_user("backup"))
    file = tmp_path / "b" / LOG
    file.write_bytes(file.read_bytes()[:-1])
    async with running_place(tmp_path / "other", streams=True) as other:
        with pytest.raises(NotAllowed, match=r"LOG is damaged at byte 0"):
            await restore(tmp_path / "b", None, other.as_user("restore"))
        assert await other.contents() == {name: [] for name in STREAMS}


async def test_a_place_that_holds_anything_is_left_alone(place: Place, tmp_path: Path) -> None:
    """A log, keys, or how far webhooks are."""
    await back_up(tmp_path / "b", tmp_path / "k", place.as_user("backup"))
    before = await place.contents()
    with pytest.raises(NotAllowed, match="the log holds events"):
        await restore(tmp_path / "b", None, place.as_user("restore"))
    assert await place.contents() == before
    async with running_place(tmp_path / "other", kek=kek(place)) as other:
        async with other.keys() as keys:
            await keys.get_or_create("e-3")
        with pytest.raises(NotAllowed, match="data_keys holds rows"):
            await restore(tmp_path / "b", tmp_path / "k", other.as_user("restore"))
        await execute(other, "INSERT INTO webhook_lanes (webhook_id, lane, position) VALUES ('x', 0, 1)")
        with pytest.raises(NotAllowed, match=r"webhook_lanes .* holds rows"):
            await restore(tmp_path / "b", None, other.as_user("restore"))
        assert await other.contents() == {name: [] for name in STREAMS}
    with pytest.raises(NotAllowed, match="holds something already"):
        await back_up(tmp_path / "b", None, place.as_user("backup"))


async def test_nobody_starts_on_half_a_log(place: Place, tmp_path: Path) -> None:
    """A restore that was cut short goes on; what others have written meanwhile is not mixed with it."""
    for number in range(30):
        await place.write(f"log.performance.many.{number}", *(str(one) for one in range(100)))
    await back_up(tmp_path / "b", None, place.as_user("backup"))
    manifest = read_manifest(tmp_path / "b", KIND)
    async with running_place(tmp_path / "other") as other:
        async with other.connected("restore") as client:
            assert await begin_restoring(client, 1)
            stream = JetStreamStream(client, LOG)

            def stop(done: int) -> None:
                if done > 1000:
                    raise ConnectionError

            with pytest.raises(ConnectionError):
                await module.fill_stream(tmp_path / "b", manifest, stream, stop)
            assert 1000 < (await stream.state()).last < 3005
            with pytest.raises(WrongConfiguration, match="a restore of it is under way, or was cut short"):
                await check_configuration(client, 1, other.settings.nats_monitor_url)
            await create_streams(client, 1)  # `stepladder migrate` makes it no other
            with pytest.raises(WrongConfiguration, match="a restore of it is under way, or was cut short"):
                await check_configuration(client, 1, other.settings.nats_monitor_url)
        await restore(tmp_path / "b", None, other.as_user("restore"))
        assert [one.entry for one in (await other.contents())[LOG]] == [
            one.entry for one in (await place.contents())[LOG]
        ]
    async with running_place(tmp_path / "third") as third:
        async with third.connected("restore") as client:
            await begin_restoring(client, 1)
            await third.append(client, "log.performance.thing.1", "somebody else's")
        with pytest.raises(NotAllowed) as refused:
            await restore(tmp_path / "b", None, third.as_user("restore"))
        assert refused.value.reason in ("NOT_EQUAL", "WRITTEN_MEANWHILE")


async def test_who_was_erased_since_stays_erased(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Keys that were backed up before are taken out by a backup of the log that was made after."""
    await back_up(tmp_path / "old", tmp_path / "k", place.as_user("backup"))
    async with place.keys() as keys:
        await keys.erase("e-1")
    await back_up(tmp_path / "b", None, place.as_user("backup"))
    async with running_place(tmp_path / "other", kek=kek(place)) as other:
        await restore(tmp_path / "b", tmp_path / "k", other.as_user("restore"))
        async with other.keys() as keys:
            assert await keys.get("e-1") is None
            assert await keys.get("e-2") is not None
            with pytest.raises(Refused, match="is erased"):
                await keys.get_or_create("e-1")
    assert "1 people were erased after these keys were backed up" in capsys.readouterr().out


async def test_keys_that_fit_no_key_are_refused(place: Place, tmp_path: Path) -> None:
    """Before anything is written."""
    await back_up(tmp_path / "b", tmp_path / "k", place.as_user("backup"))
    async with running_place(tmp_path / "other", streams=True) as other:
        with pytest.raises(NotAllowed, match="is not the key that wrapped these keys"):
            await restore(tmp_path / "b", tmp_path / "k", other.as_user("restore"))
        with pytest.raises(NotAllowed, match="one of keys, format 1, is needed"):
            await restore(tmp_path / "b", tmp_path / "b", other.as_user("restore"))
        assert await other.contents() == {name: [] for name in STREAMS}


async def test_people_without_keys_are_counted(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a log that is newer than the keys, or without any."""
    await back_up(tmp_path / "b", tmp_path / "k", place.as_user("backup"))
    await place.write("log.performance.thing.3", "x", person="e-3")
    await back_up(tmp_path / "b2", None, place.as_user("backup"))
    async with running_place(tmp_path / "other", kek=kek(place)) as other:
        await restore(tmp_path / "b2", tmp_path / "k", other.as_user("restore"))
    assert "of 1 people there is no key" in capsys.readouterr().out


async def test_what_contradicts_itself_is_kept_and_told(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event that does not follow from the one before is in the backup as it is, and the exit status is 1."""
    place.hashes["log.performance.thing.2"] = b"forged"
    await place.write("log.performance.thing.2", "forged")
    assert await back_up(tmp_path / "b", None, place.as_user("backup")) == 1
    assert "LOG at 6" in capsys.readouterr().out


@pytest.mark.parametrize("user", ["coaching", "setup"])
async def test_who_may_not_is_told(place: Place, tmp_path: Path, user: str) -> None:
    """The user that is needed, and no password."""
    with pytest.raises(CannotStart, match="must be that of its user backup") as refused:
        await back_up(tmp_path / "b", None, place.as_user(user))
    assert place.servers[0].passwords[user] not in str(refused.value)
    with pytest.raises(NotAllowed, match="it has no manifest"):
        read_manifest(tmp_path / "b", KIND)


async def test_keys_are_not_put_beside_the_log(place: Place, tmp_path: Path) -> None:
    """Whoever finds the one is not to have the other."""
    for keys in (tmp_path / "b", tmp_path / "b" / "keys", tmp_path / "x" / ".." / "b" / "k", tmp_path):
        with pytest.raises(NotAllowed, match="keep them elsewhere"):
            await back_up(tmp_path / "b", keys, place.as_user("backup"))
    assert not (tmp_path / "b").exists()
