"""Which metrics and labels a query of Prometheus names."""

import re

from tests.observing.running import Scrape

OF_PROMETHEUS = frozenset({"up", "job", "instance", "le"})
"""What is there without a process of ours."""
NOT_IN_A_SMALL_SYSTEM = frozenset({"stepladder_certificate_expiry_timestamp_seconds"})
"""Told with TLS only."""
_PARTS = ("service", "follower", "stream", "state")
_METRIC = re.compile(r"\b(?:stepladder|process)_[a-z_]+\b")
_SELECTOR = re.compile(r"((?:stepladder|process)_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(=~|!=|!~|=)\s*\"([^\"]*)\"")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left)\s*\(([^)]*)\)")


def unknown_in(query: str, scrape: Scrape) -> set[str]:
    """Names of metrics and labels in a query, and values of labels that name a part of us, that nobody tells."""
    labels: dict[str, dict[str, set[str]]] = {name: {} for name in scrape.names}
    for sample in scrape.samples:
        known = labels.setdefault(sample.name, {})
        for label, value in sample.labels.items():
            known.setdefault(label, set()).add(value)
    unknown = {name for name in _METRIC.findall(query) if name not in labels and name not in NOT_IN_A_SMALL_SYSTEM}
    for name, selector in _SELECTOR.findall(query):
        known = labels.get(name) or {}
        for label, operator, value in _MATCHER.findall(selector):
            if known and (label not in known or (label in _PARTS and operator == "=" and value not in known[label])):
                unknown.add(f'{name}{{{label}="{value}"}}')
    everywhere = {label for known in labels.values() for label in known} | OF_PROMETHEUS
    for group in _GROUPING.findall(query):
        unknown |= {label.strip() for label in group.split(",")} - everywhere - {""}
    return unknown
