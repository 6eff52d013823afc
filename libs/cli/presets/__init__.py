"""Data that a new centre starts with: KPIs, targets, policies and mappings of call files.

The TOML files hold the messages of the contract under the names of their fields.
"""

import tomllib
from pathlib import Path
from typing import TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.performance.v1.policy_pb2 import Policy

M = TypeVar("M", bound=Message)

PRESETS = Path(__file__).parent


def load_kpis() -> list[Kpi]:
    """The KPI catalogue."""
    return _load("kpis.toml", "kpis", Kpi)


def load_targets() -> list[Target]:
    """What is expected of the KPIs, for the whole centre."""
    return _load("targets.toml", "targets", Target)


def load_policies() -> list[Policy]:
    """When something is found about an employee, how months are scored, how people are coached, and promoted."""
    files = ("policies.toml", "promotion.toml", "interview-questions.toml")
    return [policy for file in files for policy in _load(file, "policies", Policy)]


def _load(file: str, table: str, kind: type[M]) -> list[M]:
    entries = tomllib.loads((PRESETS / file).read_text("utf-8"))[table]
    return [ParseDict(entry, kind()) for entry in entries]
