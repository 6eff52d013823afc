"""Data keys: one per employee, wrapped by the key-encryption key; erasing one erases the person everywhere."""

import os
import time
from collections.abc import Collection
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, DateTime, LargeBinary, MetaData, String, Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import insert_new, writing
from libs.common.errors import NotAllowed

METADATA = MetaData()

DATA_KEYS = Table(
    "data_keys",
    METADATA,
    Column("employee_id", String, primary_key=True),
    Column("wrapped", LargeBinary, nullable=True),  # null: erased; the row stays, so that no second key is made
    Column("created_time", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("erased_time", DateTime(timezone=True), nullable=True),
)

CACHE_SECONDS = 60.0
"""How long a process may go on using a key after another one has erased it."""

AT_ONCE = 500
"""Of how many employees one query asks."""


class KeyErased(NotAllowed):
    """Something personal was to be written about an employee whose key is erased."""

    def __init__(self, employee_id: str) -> None:
        super().__init__(
            "PERSONAL_DATA_ERASED", f"the personal data of employee {employee_id} is erased; none can be added"
        )


class WrongKey(Exception):  # noqa: N818 - states what is the case
    """The key-encryption key is another one than before; every name would be unreadable."""


class Sealer:
    """Seals small secrets with AES-256-GCM under the key-encryption key (`kek`, 32 bytes).

    Each is bound to what it is of, and opens as nothing else: an employee's id, a webhook's subject.
    """

    def __init__(self, kek: bytes) -> None:
        self._cipher = AESGCM(kek)

    def seal(self, secret: bytes, of: str) -> bytes:
        """The nonce and the ciphertext."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, secret, of.encode())

    def unseal(self, sealed: bytes, of: str) -> bytes:
        """The secret. Raises InvalidTag for another key, or for what was sealed as something else's."""
        return self._cipher.decrypt(sealed[:12], sealed[12:], of.encode())


class DataKeys(Protocol):
    """Where the codec gets keys from."""

    async def get_or_create(self, employee_id: str) -> bytes:
        """The employee's 32-byte key; durable before it is answered. Raises KeyErased."""

    async def get(self, employee_id: str) -> bytes | None:
        """The employee's key, None when it never was or is erased."""

    async def gone(self, employee_ids: Collection[str]) -> frozenset[str]:
        """Those of these employees whose keys are gone; one that was erased elsewhere may be missing for a minute."""


class SqlDataKeys:
    """Data keys in SQL, wrapped with AES-256-GCM under the key-encryption key (`kek`, 32 bytes)."""

    def __init__(self, engine: AsyncEngine, kek: bytes) -> None:
        self._engine = engine
        self._sealer = Sealer(kek)
        self._cache: dict[str, tuple[float, bytes]] = {}

    async def get_or_create(self, employee_id: str) -> bytes:
        if (key := self._cached(employee_id)) is not None:
            return key
        fresh = self._sealer.seal(AESGCM.generate_key(256), employee_id)
        async with writing(self._engine) as transaction:
            await transaction.execute(
                insert_new(DATA_KEYS, transaction), {"employee_id": employee_id, "wrapped": fresh}
            )
        key = await self.get(employee_id)
        if key is None:
            raise KeyErased(employee_id)
        return key

    async def get(self, employee_id: str) -> bytes | None:
        if (key := self._cached(employee_id)) is not None:
            return key
        async with self._engine.connect() as connection:
            wrapped = await connection.scalar(select(DATA_KEYS.c.wrapped).where(DATA_KEYS.c.employee_id == employee_id))
        if wrapped is None:
            return None
        key = self._sealer.unseal(wrapped, employee_id)
        self._keep(employee_id, key)
        return key

    async def gone(self, employee_ids: Collection[str]) -> frozenset[str]:
        unsure = [one for one in employee_ids if self._cached(one) is None]
        if not unsure:
            return frozenset()
        query = select(DATA_KEYS.c.employee_id, DATA_KEYS.c.wrapped)
        found: dict[str, bytes] = {}
        async with self._engine.connect() as connection:
            for first in range(0, len(unsure), AT_ONCE):
                some = DATA_KEYS.c.employee_id.in_(unsure[first : first + AT_ONCE])
                rows = await connection.execute(query.where(some, DATA_KEYS.c.wrapped.is_not(None)))
                found.update(tuple(row) for row in rows)
        for employee_id, wrapped in found.items():
            self._keep(employee_id, self._sealer.unseal(wrapped, employee_id))
        return frozenset(unsure) - found.keys()

    async def check(self) -> None:
        """Raises WrongKey when another key-encryption key has wrapped what is stored."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(DATA_KEYS).where(DATA_KEYS.c.wrapped.is_not(None)).limit(1))).first()
        try:
            if row is not None:
                self._sealer.unseal(row.wrapped, row.employee_id)
        except InvalidTag as error:
            raise WrongKey("the key-encryption key is not the one that wrapped the data keys: restore it") from error

    async def erase(self, employee_id: str) -> None:
        """Makes everything personal about the employee unreadable, for ever."""
        async with writing(self._engine) as transaction:
            await transaction.execute(insert_new(DATA_KEYS, transaction), {"employee_id": employee_id, "wrapped": None})
            await transaction.execute(
                update(DATA_KEYS)
                .where(DATA_KEYS.c.employee_id == employee_id, DATA_KEYS.c.erased_time.is_(None))
                .values(wrapped=None, erased_time=func.now())
            )
        self._cache.pop(employee_id, None)

    def _keep(self, employee_id: str, key: bytes) -> None:
        self._cache[employee_id] = (time.monotonic() + CACHE_SECONDS, key)

    def _cached(self, employee_id: str) -> bytes | None:
        until, key = self._cache.get(employee_id, (0.0, b""))
        return key if time.monotonic() < until else None
