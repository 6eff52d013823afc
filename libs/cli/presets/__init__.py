"""Data that a new centre starts with: KPIs, targets, policies and mappings of call files.

The TOML files hold the messages of the contract under the names of their fields.
"""

import tomllib
from pathlib import Path
from typing import TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from stepladder.performance.v1.detection_pb2 import DetectionPolicy
from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.promotion.v1.eligibility_pb2 import EligibilityPolicy

M = TypeVar("M", bound=Message)

PRESETS = Path(__file__).parent


def load_kpis() -> list[Kpi]:
    """The KPI catalogue."""
    return _load("kpis.toml", "kpis", Kpi)


def load_targets() -> list[Target]:
    """What is expected of the KPIs, for the whole centre."""
    return _load("detection.toml", "targets", Target)


def load_detection_policies() -> list[DetectionPolicy]:
    """When someone counts as under-performing."""
    return _load("detection.toml", "policies", DetectionPolicy)


def load_eligibility_policies() -> list[EligibilityPolicy]:
    """Who may be promoted: the latest by effective date is in force."""
    return _load("eligibility.toml", "policies", EligibilityPolicy)


def _load(file: str, table: str, kind: type[M]) -> list[M]:
    entries = tomllib.loads((PRESETS / file).read_text("utf-8"))[table]
    return [ParseDict(entry, kind()) for entry in entries]
