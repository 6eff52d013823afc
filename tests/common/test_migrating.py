"""Migrations make exactly the tables that the code works with, on both kinds of database."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common import keys, positions
from libs.common.migrating import NotMigrated, check_migrated, configuration, latest, migrate
from libs.common.projecting import ReadModel
from libs.facts.catalogue import Catalogue
from libs.facts.check_ins import CheckIns
from libs.facts.people import People
from services.coaching.facts import Facts
from services.coaching.masteries import Masteries
from services.coaching.patterns import Patterns
from services.coaching.pips import Leaves, Pips
from services.coaching.plans import Plans
from services.coaching.sessions import Sessions
from services.coaching.sharings import Sharings
from services.coaching.suggestions import Suggestions
from services.coaching.trainings import Trainings
from services.gateway.deliveries import Deliveries
from services.gateway.webhooks import Webhooks
from services.performance.calibrations import Calibrations
from services.performance.detections import Detections
from services.performance.records import Records as PerformanceRecords
from services.performance.results import Results
from services.performance.scorecards import Scorecards
from services.promotion.candidacies import Candidacies
from services.promotion.careers import Careers
from services.promotion.competitions import Competitions
from services.promotion.cycles import Cycles
from services.promotion.eligibility_changes import Touched
from services.promotion.histories import Histories
from services.promotion.peer_scorings import PeerScorings
from services.promotion.posts import Posts
from services.promotion.stages import Stages
from services.promotion.unfinished import Unfinished

MODELS: dict[str, list[type[ReadModel]]] = {
    "performance": [
        People,
        Catalogue,
        Results,
        Detections,
        Scorecards,
        PerformanceRecords,
        Calibrations,
        CheckIns,
    ],
    "coaching": [
        Leaves,
        Pips,
        People,
        Catalogue,
        Facts,
        Plans,
        Patterns,
        Sessions,
        Suggestions,
        Masteries,
        Trainings,
        Sharings,
        CheckIns,
    ],
    "promotion": [
        People,
        Catalogue,
        Cycles,
        Competitions,
        Posts,
        Careers,
        Stages,
        Candidacies,
        PeerScorings,
        Histories,
        Touched,
        Unfinished,
    ],
    "gateway": [People, Webhooks],
}


def tables_of(database: str, engine: AsyncEngine) -> MetaData:
    if database == "keys":
        return keys.METADATA
    metadata = MetaData()
    for model in MODELS[database]:
        model(metadata)
    if database == "gateway":
        Deliveries(metadata, engine)
    for table in positions.METADATA.sorted_tables:
        table.to_metadata(metadata)
    return metadata


@pytest.mark.parametrize("database", [*MODELS, "keys"])
async def test_migrations_make_the_tables_of_the_code(engine: AsyncEngine, database: str) -> None:
    """After migrating, the database is what the code defines; migrating again changes nothing."""
    with pytest.raises(NotMigrated, match="stepladder migrate"):
        await check_migrated(engine, database)
    await migrate(engine, database)
    await migrate(engine, database)
    await check_migrated(engine, database)
    assert set(ScriptDirectory.from_config(configuration(database)).get_heads()) == latest(database)
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda c: compare_metadata(MigrationContext.configure(c), tables_of(database, engine))
        )
    assert [d for d in differences if "alembic_version" not in str(d)] == []
