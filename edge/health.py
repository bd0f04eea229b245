"""/healthz and /metrics of the agent, from the same `Health` that the fleet gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from microdot import Microdot, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from edge.errors import EdgeError
from edge.trial import ON
from edge.twin import Outcome
from wire.health import GroupHealth, Health, LaneHealth


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What only this gateway knows of itself, beside `Health`."""

    gateway: str
    is_connected: bool
    has_session: bool
    spool_fault: str
    uplink_fault: str
    dropped: int
    rejected: int
    config_version: int
    config_trial: Outcome = Outcome()
    config_refused: int | None = None
    config_reason: str = ""
    alarms_raised: int
    commands_ignored: dict[str, int]


class _Exporter:
    """Turns the health of the moment into metrics whenever it is asked."""

    def __init__(self, health: Callable[[], Health], state: Callable[[], State]) -> None:
        self._health = health
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        health, state = self._health(), self._state()
        yield from _gauges(health, state)
        records = CounterMetricFamily(
            "fengsui_edge_records",
            "Records by lane; assigned = delivered + pending + tombstoned",
            labels=["lane", "state"],
        )
        for lane, account in health.lanes.items():
            for field, count in msgspec.structs.asdict(account).items():
                records.add_metric([lane, field], count)
        yield records
        scans = CounterMetricFamily(
            "fengsui_edge_scans", "Scans by group; due = good + bad + missed", labels=["group", "state"]
        )
        for group, counted in health.groups.items():
            for field, count in msgspec.structs.asdict(counted).items():
                scans.add_metric([group, field], count)
        yield scans
        written = CounterMetricFamily("fengsui_edge_spool_written_bytes", "Octets that the spool made the disk write")
        written.add_metric([], health.spool_written_bytes)
        yield written
        dropped = CounterMetricFamily(
            "fengsui_edge_records_dropped", "Records that neither spool nor memory could hold"
        )
        dropped.add_metric([], state.dropped)
        yield dropped
        rejected = CounterMetricFamily("fengsui_edge_messages_rejected", "Messages of the fleet that could not be read")
        rejected.add_metric([], state.rejected)
        yield rejected
        yield from _counters(health, state)


def _counters(health: Health, state: State) -> Iterator[Metric]:
    simple: dict[str, tuple[str, float]] = {
        "fengsui_edge_link_sent_bytes": ("Octets sent, with what the link adds, estimated", health.link.sent_bytes),
        "fengsui_edge_link_overdrawn_bytes": ("Octets that alarms took beyond the budget", health.link.overdrawn_bytes),
    }
    for name, (help_text, value) in simple.items():
        yield CounterMetricFamily(name, help_text, value=value)
    ignored = CounterMetricFamily("fengsui_edge_commands_ignored", "Commands that did nothing", labels=["reason"])
    for reason, count in state.commands_ignored.items():
        ignored.add_metric([reason], count)
    yield ignored


def _gauges(health: Health, state: State) -> Iterator[Metric]:
    simple: dict[str, tuple[str, float]] = {
        "fengsui_edge_uptime_seconds": ("Since the agent started", health.uptime_s),
        "fengsui_edge_spool_bytes": ("Octets in use in the spool", health.spool_bytes),
        "fengsui_edge_spool_max_bytes": ("Quota of the spool", health.spool_max_bytes),
        "fengsui_edge_spool_written_bytes_per_record": (
            "Octets written for each record that the fleet committed since the start",
            health.spool_written_per_record,
        ),
        "fengsui_edge_connected": ("1 while connected to the broker", state.is_connected),
        "fengsui_edge_session": ("1 while the fleet has welcomed this gateway", state.has_session),
        "fengsui_edge_alarms_raised": ("Alarms that are up", state.alarms_raised),
        "fengsui_edge_link_rate_bytes_per_second": ("Rate of the link as last measured", health.link.rate_bytes_per_s),
        "fengsui_edge_link_alarms_only": ("1 while only alarms are sent", bool(health.link.alarms_only)),
        "fengsui_edge_config_version": ("Version of the configuration that runs", state.config_version),
        "fengsui_edge_config_on_trial": ("1 while that is on trial", state.config_trial.trial == ON),
    }
    for name, (help_text, value) in simple.items():
        yield GaugeMetricFamily(name, help_text, value=value)
    unaccounted = GaugeMetricFamily(
        "fengsui_edge_unaccounted", "Records of a lane or scans of a group that no account explains: 0", labels=["of"]
    )
    accounts: list[tuple[str, LaneHealth | GroupHealth]] = [*health.lanes.items(), *health.groups.items()]
    for of, counted in accounts:
        unaccounted.add_metric([of], counted.difference)
    yield unaccounted
    if health.link.budget_left_bytes is not None:
        yield GaugeMetricFamily(
            "fengsui_edge_link_budget_left_bytes",
            "Octets that the budget has now, below 0 where alarms have gone beyond",
            value=health.link.budget_left_bytes,
        )
    buses = GaugeMetricFamily("fengsui_edge_bus_up", "1 while the line is open", labels=["bus", "kind"])
    for bus, account in health.buses.items():
        buses.add_metric([bus, account.kind], account.up)
    yield buses
    outputs = GaugeMetricFamily("fengsui_edge_output_on", "1 while the output is on", labels=["output"])
    for output, shown in health.outputs.items():
        outputs.add_metric([output], shown.state in {"on", "test"})
    yield outputs


class HealthServer:
    """Serves both pages until stopped."""

    def __init__(self, health: Callable[[], Health], state: Callable[[], State]) -> None:
        self._health = health
        self._state = state
        self._registry = CollectorRegistry()
        self._registry.register(_Exporter(health, state))
        self._is_open = False
        self._app = Microdot()
        self._app.get("/healthz")(self._serve_health)
        self._app.get("/metrics")(self._serve_metrics)

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises EdgeError if the address cannot be had."""
        try:
            await self._app.start_server(host, port, start_serving=False)
            await self._app.server.start_serving()
            self._is_open = True
        except OSError as error:
            raise EdgeError(
                f"[health] listen {host}:{port} cannot be had: {error.strerror}",
                hint='another program has it: choose another port, or listen = "" for none',
            ) from error

    async def stop(self) -> None:
        """Stop listening."""
        if self._is_open:
            self._app.server.close()
            await self._app.server.wait_closed()

    async def _serve_health(self, _request: Request) -> Response:
        """200 while samples can be stored, 503 otherwise. A lost link is no fault of the gateway."""
        state = self._state()
        body = {"state": msgspec.to_builtins(state), "health": msgspec.to_builtins(self._health())}
        status = 503 if state.spool_fault else 200
        return Response(msgspec.json.encode(body), status, {"Content-Type": "application/json"})

    async def _serve_metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
