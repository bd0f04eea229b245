"""Prometheus metrics of the fleet's programs, and the small server that shows them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from fleet.counts import Counts
from fleet.errors import SetupError
from fleet.settings import split_address

Health = Callable[[], dict[str, object]]
"""What `/healthz` says. The key ``ok`` decides between 200 and 503."""
LOOK_S = 0.05
"""How often the server looks whether it is to end: its program waits for that."""


class IngestMetrics:
    """Counters of ingest. All count what has been committed, never what was tried."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = Counter("fengsui_ingest_records", "Records committed.", ["lane"], registry=registry)
        self.lost = Counter(
            "fengsui_ingest_lost", "Records that a gateway had to give up.", ["lane"], registry=registry
        )
        self.samples = Counter("fengsui_ingest_samples", "Values in committed scans.", registry=registry)
        self.trimmed = Counter("fengsui_ingest_trimmed", "Records that were committed before.", registry=registry)
        self.refused = Counter("fengsui_ingest_refused", "Batches refused for a gap.", registry=registry)
        self.greeted = Counter("fengsui_ingest_greeted", "Gateways asked to say hello again.", registry=registry)
        self.quarantined = Counter("fengsui_ingest_quarantined", "Records that cannot be read.", registry=registry)
        self.undecodable = Counter(
            "fengsui_ingest_undecodable", "Messages that cannot be read.", ["kind"], registry=registry
        )
        self.unregistered = Counter(
            "fengsui_ingest_unregistered", "Messages of gateways that are not registered.", registry=registry
        )
        self.dropped = Counter(
            "fengsui_ingest_dropped",
            "Messages dropped: the database did not commit, too many waited, or a worker died.",
            registry=registry,
        )
        self.worker_deaths = Counter("fengsui_ingest_worker_deaths", "Workers that died.", registry=registry)
        self.transactions = Counter("fengsui_ingest_transactions", "Transactions committed.", registry=registry)
        self.database_up = Gauge("fengsui_ingest_database_up", "1 if the last commit worked.", registry=registry)
        self.broker_up = Gauge("fengsui_ingest_broker_up", "1 while connected to the broker.", registry=registry)

    def add(self, more: Counts) -> None:
        """Add what some transactions did."""
        for counter, by_label in (
            (self.records, more.records),
            (self.lost, more.lost),
            (self.undecodable, more.undecodable),
        ):
            for label, count in by_label.items():
                counter.labels(label).inc(count)
        self.samples.inc(more.samples)
        self.trimmed.inc(more.trimmed)
        self.refused.inc(more.refused)
        self.greeted.inc(more.greeted)
        self.quarantined.inc(more.quarantined)
        self.unregistered.inc(more.unregistered)


class RelayMetrics:
    """Counters of relay."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["destination", "lane"]
        self.relayed = Counter("fengsui_relay_records", "Records a destination took.", labels, registry=registry)
        self.failures = Counter("fengsui_relay_failures", "Requests that failed.", labels, registry=registry)
        self.behind = Gauge("fengsui_relay_behind", "Records not yet taken.", labels, registry=registry)


class UpkeepMetrics:
    """What upkeep has done. ``table``: the table that rows went from."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pruned = Counter("fengsui_upkeep_pruned", "Rows that went.", ["table"], registry=registry)
        self.turns = Counter("fengsui_upkeep_turns", "Turns finished.", registry=registry)
        self.longest = Gauge(
            "fengsui_upkeep_transaction_seconds", "Longest transaction of the last turn.", registry=registry
        )
        self.held_by = Gauge(
            "fengsui_upkeep_held_records",
            "Measurements older than kept that a destination has not got, 100000 at most.",
            registry=registry,
        )


class NotifyMetrics:
    """Counters of notify."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.notices = Counter("fengsui_notify_notices", "Notices decided.", registry=registry)
        self.sent = Counter("fengsui_notify_messages", "Messages that a contact took.", ["contact"], registry=registry)
        self.failures = Counter("fengsui_notify_failures", "Tries that failed.", ["contact"], registry=registry)
        self.waiting = Gauge("fengsui_notify_waiting", "Notices that have not arrived.", registry=registry)


class SeedLinkMetrics:
    """Counters of the SeedLink server. ``why``: network, many, sign-in, slow."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clients = Gauge("fengsui_seedlink_clients", "Clients connected.", registry=registry)
        self.packets = Counter("fengsui_seedlink_packets", "Packets sent.", registry=registry)
        self.octets = Counter("fengsui_seedlink_octets", "Octets of packets sent.", registry=registry)
        self.ended = Counter("fengsui_seedlink_refused", "Clients sent away.", ["why"], registry=registry)


class MetricsServer:
    """Answers ``/metrics`` and ``/healthz`` on its own port, in a thread of its own."""

    def __init__(self, address: str, registry: CollectorRegistry, health: Health) -> None:
        host, port = split_address(address, "metrics")
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(registry, health))
        except OSError as error:
            raise SetupError(
                f"cannot listen at {address}: {error.strerror}", hint="is another fleet running? Choose another port"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(LOOK_S,), name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> MetricsServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(registry: CollectorRegistry, health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif self.path == "/healthz":
                state = health()
                self._answer(200 if state["ok"] else 503, "application/json", json.dumps(state).encode())
            else:
                self._answer(404, "text/plain", b"there are /metrics and /healthz\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: scrapes are not events."""

    return Handler
