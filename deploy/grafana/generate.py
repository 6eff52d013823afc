"""Makes the dashboards beside it: `python deploy/grafana/generate.py`. Panels of a row are equally wide."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WIDTH, HEIGHT, STAT_HEIGHT = 24, 8, 4
"""Grafana's grid: 24 columns; a row's height in its units."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
LOSS = {"mode": "absolute", "steps": [{"color": "green", "value": None}, {"color": "red", "value": 1}]}
"""Colours of what should be nought."""
FALL = {"mode": "absolute", "steps": [{"color": "red", "value": None}, {"color": "green", "value": 1}]}
"""Colours of what should be one."""
BY_FOLLOWER = "service, follower, partition"
CALLS = "stepladder_grpc_calls_total"
OUR_FAULT = '{code=~"INTERNAL|UNAVAILABLE"}'


@dataclass(frozen=True)
class Panel:
    """One picture: what it shows, in which unit of Grafana's, and the queries with what each line is called."""

    title: str
    description: str
    unit: str
    queries: Sequence[tuple[str, str]]
    thresholds: dict[str, Any] | None = None

    @property
    def kind(self) -> str:
        """A number where it has colours, otherwise lines over time."""
        return "stat" if self.thresholds else "timeseries"

    def drawn(self, number: int, x: int, y: int, width: int) -> dict[str, Any]:
        """As Grafana reads it."""
        height = STAT_HEIGHT if self.thresholds else HEIGHT
        defaults: dict[str, Any] = {"unit": self.unit, "min": 0}
        if self.thresholds:
            defaults["thresholds"] = self.thresholds
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": width, "h": height},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": {"reduceOptions": {"calcs": ["lastNotNull"]}}
            if self.thresholds
            else {"tooltip": {"mode": "multi"}},
            "targets": [
                {"refId": chr(65 + index), "datasource": SOURCE, "expr": query, "legendFormat": legend}
                for index, (query, legend) in enumerate(self.queries)
            ],
        }


def per_second(metric: str, by: str, selector: str = "") -> str:
    """How fast a counter grows."""
    return f"sum by ({by}) (rate({metric}{selector}[$__rate_interval]))"


def quantile(share: str, metric: str) -> str:
    """Below what a share of a service's measurements lie, by a histogram's name."""
    return f"histogram_quantile({share}, {per_second(f'{metric}_bucket', 'service, le')})"


OVERVIEW = [
    [
        Panel(
            "Services",
            "How many of the four services tell their metrics.",
            "short",
            [("count(count by (service) (stepladder_info))", "services")],
            {"mode": "absolute", "steps": [{"color": "red", "value": None}, {"color": "green", "value": 4}]},
        ),
        Panel(
            "Log",
            "Whether every process reaches the log's streams: 1 or 0.",
            "short",
            [("min(stepladder_log_reachable)", "reachable")],
            FALL,
        ),
        Panel(
            "Database",
            "Whether every process reaches its read models: 1 or 0.",
            "short",
            [("min(stepladder_database_reachable)", "reachable")],
            FALL,
        ),
        Panel(
            "Followers that run nowhere",
            "Read models, policies and the relay that no process runs.",
            "short",
            [(f'count(sum by ({BY_FOLLOWER}) (stepladder_follower_state{{state="running"}}) == 0) or vector(0)', "")],
            LOSS,
        ),
        Panel(
            "Parked events",
            "Events that could not be applied, and those that wait behind them.",
            "short",
            [(f"sum(max by ({BY_FOLLOWER}) (stepladder_follower_parked_events))", "parked")],
            LOSS,
        ),
        Panel(
            "Webhooks that fail",
            "Webhooks whose receivers took nothing of late.",
            "short",
            [('max(stepladder_webhooks{state="failing"})', "failing")],
            LOSS,
        ),
    ],
    [
        Panel(
            "Calls",
            "Calls answered a second, by service.",
            "reqps",
            [(per_second(CALLS, "service"), "{{service}}")],
        ),
        Panel(
            "Calls that fail by our fault",
            "Share of calls answered INTERNAL or UNAVAILABLE.",
            "percentunit",
            [
                (
                    f"{per_second(CALLS, 'service', OUR_FAULT)} / {per_second(CALLS, 'service')}",
                    "{{service}}",
                )
            ],
        ),
        Panel(
            "How long calls take",
            "Within which time 99 of 100 calls with one answer were answered.",
            "s",
            [
                (
                    quantile("0.99", "stepladder_grpc_call_seconds"),
                    "{{service}}",
                )
            ],
        ),
    ],
    [
        Panel(
            "Commands",
            "Commands a second that were carried out, by aggregate.",
            "ops",
            [(per_second("stepladder_commands_total", "aggregate", '{result="ok"}'), "{{aggregate}}")],
        ),
        Panel(
            "Commands not carried out",
            "Commands a second that were refused or failed, by what came of them.",
            "ops",
            [
                (
                    per_second("stepladder_commands_total", "service, result", '{result!="ok"}'),
                    "{{service}} {{result}}",
                )
            ],
        ),
        Panel(
            "Methods that refuse most",
            "The ten methods whose calls end otherwise than OK most often, a second.",
            "reqps",
            [
                (
                    'topk(10, sum by (method, code) (rate(stepladder_grpc_calls_total{code!="OK"}[$__rate_interval])))',
                    "{{method}} {{code}}",
                )
            ],
        ),
    ],
    [
        Panel(
            "Deadlines that are late",
            "Seconds by which the oldest deadline is late whose command was not given.",
            "s",
            [("max by (service, kind) (stepladder_deadlines_overdue_seconds)", "{{service}} {{kind}}")],
        ),
        Panel(
            "Deadlines",
            "Deadlines a second, by what came of their command.",
            "ops",
            [
                (
                    per_second("stepladder_deadlines_total", "service, result"),
                    "{{service}} {{result}}",
                )
            ],
        ),
        Panel(
            "Webhooks",
            "Webhooks by their state; those that fail are among the active ones.",
            "short",
            [("max by (state) (stepladder_webhooks)", "{{state}}")],
        ),
        Panel(
            "Events that wait for webhooks",
            "Events that are to be sent again, of webhooks that are active.",
            "short",
            [("max(stepladder_webhook_waiting_events)", "waiting")],
        ),
    ],
    [
        Panel(
            "Memory",
            "Memory that processes hold.",
            "bytes",
            [('process_resident_memory_bytes{service=~".+"}', "{{service}} {{instance}}")],
        ),
        Panel(
            "Processor",
            "Processors that processes keep busy.",
            "short",
            [('rate(process_cpu_seconds_total{service=~".+"}[$__rate_interval])', "{{service}} {{instance}}")],
        ),
        Panel(
            "Open files",
            "Files and connections that processes hold.",
            "short",
            [('process_open_fds{service=~".+"}', "{{service}} {{instance}}")],
        ),
    ],
]
LOG = [
    [
        Panel(
            "Set up as the code demands",
            "Whether streams and server are so that nothing acknowledged can be lost: 1 or 0.",
            "short",
            [("min(stepladder_log_configuration_right)", "right")],
            FALL,
        ),
        Panel(
            "Copies in sync",
            "Of the stream that has the fewest: share of the servers that have all of it.",
            "percentunit",
            [("min(stepladder_stream_replicas_in_sync / stepladder_stream_replicas)", "in sync")],
            FALL,
        ),
        Panel(
            "Room used",
            "Share of its room for streams that a server of the log has used.",
            "percentunit",
            [("max(stepladder_log_stored_bytes / stepladder_log_room_bytes)", "used")],
            {"mode": "absolute", "steps": [{"color": "green", "value": None}, {"color": "red", "value": 0.8}]},
        ),
    ],
    [
        Panel(
            "How long appends take",
            "Within which time 50 and 99 of 100 appends were on disk.",
            "s",
            [
                (
                    quantile(share, "stepladder_append_seconds"),
                    f"{{{{service}}}} {share}",
                )
                for share in ("0.5", "0.99")
            ],
        ),
        Panel(
            "Appends",
            "Appends a second, by service and stream.",
            "ops",
            [
                (
                    per_second("stepladder_append_seconds_count", "service, stream"),
                    "{{service}} {{stream}}",
                )
            ],
        ),
        Panel(
            "Conflicts, retries and failures",
            "Appends a second that others were faster than, sent again or given up.",
            "ops",
            [
                (
                    per_second("stepladder_append_conflicts_total", "aggregate"),
                    "conflict {{aggregate}}",
                ),
                (
                    per_second("stepladder_append_retries_total", "service, cause"),
                    "{{service}} {{cause}}",
                ),
                (per_second("stepladder_append_failures_total", "service"), "{{service}} failed"),
            ],
        ),
    ],
    [
        Panel(
            "Events in streams",
            "How many events each stream holds.",
            "short",
            [("max by (stream) (stepladder_stream_events)", "{{stream}}")],
        ),
        Panel(
            "Size of streams",
            "Bytes of each stream, in each of its copies.",
            "bytes",
            [("max by (stream) (stepladder_stream_bytes)", "{{stream}}")],
        ),
    ],
    [
        Panel(
            "Followers behind, in events",
            "Events of the log that a follower has not applied.",
            "short",
            [
                (
                    f"max by ({BY_FOLLOWER}) (stepladder_follower_lag_events) > 0",
                    "{{service}} {{follower}} {{partition}}",
                )
            ],
        ),
        Panel(
            "Followers behind, in time",
            "Age of the oldest event that a follower has not applied.",
            "s",
            [
                (
                    f"max by ({BY_FOLLOWER}) (stepladder_follower_lag_seconds) > 0",
                    "{{service}} {{follower}} {{partition}}",
                )
            ],
        ),
        Panel(
            "Events followed",
            "Events a second that followers apply or park.",
            "ops",
            [
                (
                    per_second("stepladder_follower_events_total", "service, follower"),
                    "{{service}} {{follower}}",
                )
            ],
        ),
    ],
    [
        Panel(
            "Who runs followers",
            "How many followers each process runs.",
            "short",
            [('sum by (service, instance) (stepladder_follower_state{state="running"})', "{{service}} {{instance}}")],
        ),
        Panel(
            "Followers that have stopped",
            "Followers that have stopped, by process.",
            "short",
            [('sum by (service, instance) (stepladder_follower_state{state="stopped"})', "{{service}} {{instance}}")],
        ),
        Panel(
            "Parked events",
            "Events that could not be applied, and those that wait behind them, by follower.",
            "short",
            [
                (
                    f"max by ({BY_FOLLOWER}) (stepladder_follower_parked_events) > 0",
                    "{{service}} {{follower}} {{partition}}",
                )
            ],
        ),
    ],
]
DASHBOARDS = {
    "overview": ("Stepladder: overview", "What operators look at first.", OVERVIEW),
    "log": ("Stepladder: log and followers", "How the log is, and how far everybody is who follows it.", LOG),
}


def dashboard(name: str) -> str:
    """A dashboard as JSON."""
    title, description, rows = DASHBOARDS[name]
    panels: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        width = WIDTH // len(row)
        panels += [panel.drawn(len(panels) + index + 1, index * width, y, width) for index, panel in enumerate(row)]
        y += panels[-1]["gridPos"]["h"]
    drawn = {
        "uid": f"stepladder-{name}",
        "title": title,
        "description": description,
        "tags": ["stepladder"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": panels,
    }
    return json.dumps(drawn, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in DASHBOARDS:
        (HERE / f"{name}.json").write_text(dashboard(name), encoding="utf-8")
