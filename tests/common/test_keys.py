"""Data keys: one for each employee, wrapped, and gone for ever once erased; on SQLite and PostgreSQL."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common import keys as module
from libs.common.errors import NotAllowed
from libs.common.keys import DATA_KEYS, METADATA, SqlDataKeys, WrongKey

KEK = b"k" * 32

Open = Callable[[], SqlDataKeys]


@pytest.fixture
async def open_keys(engine: AsyncEngine) -> Open:
    """Opens the same keys, each time as a process that was just started."""
    async with engine.begin() as transaction:
        await transaction.run_sync(METADATA.create_all)
    return lambda: SqlDataKeys(engine, KEK)


async def test_an_employee_has_one_key(open_keys: Open) -> None:
    """Made when first needed, the same ever after, in every process."""
    keys = open_keys()
    key = await keys.get_or_create("e-1")
    assert len(key) == 32
    assert await keys.get_or_create("e-1") == key
    assert await open_keys().get_or_create("e-1") == key
    assert await open_keys().get("e-1") == key


async def test_employees_have_different_keys(open_keys: Open) -> None:
    """Erasing one leaves the others readable."""
    keys = open_keys()
    first, second = await keys.get_or_create("e-1"), await keys.get_or_create("e-2")
    assert first != second
    await keys.erase("e-1")
    assert await open_keys().get("e-2") == second


async def test_asking_makes_no_key(open_keys: Open) -> None:
    """Reading events of somebody unknown does not make them known."""
    keys = open_keys()
    assert await keys.get("e-1") is None
    await keys.get_or_create("e-1")
    assert await keys.get("e-1") is not None


async def test_processes_that_need_a_key_at_once_get_the_same(open_keys: Open) -> None:
    """Otherwise, what one of them sealed would be lost."""
    found = await asyncio.gather(*(open_keys().get_or_create("e-1") for _ in range(8)))
    assert len(set(found)) == 1


async def test_keys_lie_wrapped(engine: AsyncEngine, open_keys: Open) -> None:
    """The database alone tells no key: not the stored bytes, nor under another key-encryption key, nor for another."""
    key = await open_keys().get_or_create("e-1")
    await open_keys().get_or_create("e-2")
    async with engine.begin() as transaction:
        rows = await transaction.execute(select(DATA_KEYS.c.employee_id, DATA_KEYS.c.wrapped))
        wrapped = {row.employee_id: row.wrapped for row in rows}
        assert wrapped["e-1"] is not None
        assert key not in wrapped["e-1"]
        exchanged = update(DATA_KEYS).where(DATA_KEYS.c.employee_id == "e-2").values(wrapped=wrapped["e-1"])
        await transaction.execute(exchanged)
    with pytest.raises(InvalidTag):
        await SqlDataKeys(engine, b"x" * 32).get("e-1")
    with pytest.raises(InvalidTag):
        await open_keys().get("e-2")


async def test_an_erased_key_is_gone_for_ever(engine: AsyncEngine, open_keys: Open) -> None:
    """It can neither be read nor made anew, and nothing of it is left in its row but that it was."""
    keys = open_keys()
    await keys.get_or_create("e-1")
    await keys.erase("e-1")
    for one in (keys, open_keys()):
        assert await one.get("e-1") is None
        with pytest.raises(NotAllowed) as refused:
            await one.get_or_create("e-1")
        assert refused.value.reason == "PERSONAL_DATA_ERASED"
    async with engine.connect() as connection:
        row = (await connection.execute(select(DATA_KEYS))).one()
    assert (row.employee_id, row.wrapped) == ("e-1", None)
    assert row.erased_time is not None


async def test_who_was_never_known_can_be_erased(open_keys: Open) -> None:
    """Erasure also holds for what would be written later."""
    await open_keys().erase("e-1")
    with pytest.raises(NotAllowed):
        await open_keys().get_or_create("e-1")


async def test_erasing_again_does_not_change_when_it_was(engine: AsyncEngine, open_keys: Open) -> None:
    """The time of erasure is the proof of it."""
    await open_keys().erase("e-1")
    async with engine.begin() as transaction:
        await transaction.execute(update(DATA_KEYS).values(erased_time=datetime(2020, 1, 1, tzinfo=UTC)))
        before = (await transaction.execute(select(DATA_KEYS))).one()
    await open_keys().erase("e-1")
    async with engine.connect() as connection:
        assert (await connection.execute(select(DATA_KEYS))).one() == before


async def test_another_process_uses_an_erased_key_for_a_minute_at_most(
    open_keys: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy in memory ends with its time."""
    elsewhere = open_keys()
    monkeypatch.setattr(module, "CACHE_SECONDS", 0.0)
    await elsewhere.get_or_create("e-1")
    await open_keys().erase("e-1")
    assert await elsewhere.get("e-1") is None
    assert module.CACHE_SECONDS <= 60


async def test_another_kek_is_found_out_at_the_start(open_keys: Open, engine: AsyncEngine) -> None:
    """Before anything is written under it; where no keys are yet, or only erased ones, any will do."""
    other = SqlDataKeys(engine, b"o" * 32)
    await other.check()
    await open_keys().erase("e-0")
    await other.check()
    await open_keys().get_or_create("e-1")
    await open_keys().check()
    with pytest.raises(WrongKey, match="restore it"):
        await other.check()
