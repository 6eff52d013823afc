"""Where followers stand, in SQL: their positions and owners, what they have parked, and what was skipped."""

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, String, Table, Text

METADATA = MetaData()

FOLLOWERS = Table(
    "followers",
    METADATA,
    Column("name", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("stream_created", DateTime(timezone=True), nullable=False),
    Column("epoch", Integer, nullable=False),  # grows with every change of owner
    Column("owner", String, nullable=False),
    Column("beat_time", DateTime(timezone=True), nullable=False),  # the owner's last sign of life
    Column("moved_time", DateTime(timezone=True), nullable=True),
    # Into how many a follower is divided: the same in all its rows. Divided, the row by its own name runs nowhere.
    Column("partitions", Integer, nullable=False, server_default="1"),
)

PARKED = Table(
    "parked_events",
    METADATA,
    Column("follower", String, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("subject", String, nullable=False),
    Column("type", String, nullable=False),
    Column("error", Text, nullable=False),  # empty for an event that only waits behind another
    Column("attempts", Integer, nullable=False),
    Column("parked_time", DateTime(timezone=True), nullable=False),
)

SKIPPED = Table(
    "skipped_events",
    METADATA,
    Column("follower", String, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("subject", String, nullable=False),
    Column("type", String, nullable=False),
    Column("error", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String, nullable=False),
    Column("skipped_time", DateTime(timezone=True), nullable=False),
)
