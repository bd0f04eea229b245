"""Serve the web application with granian: one worker process, a thread for each request or event stream."""

from __future__ import annotations

import logging
import os
import signal
from functools import partial
from pathlib import Path

from apiflask import APIFlask
from granian.constants import Interfaces, SSLProtocols
from granian.server import Server

from fleet.app import create_app
from fleet.bootstrap import Services, bootstrap
from fleet.errors import SetupError
from fleet.livefeed import LiveFeed
from fleet.parenthood import follow
from fleet.settings import Settings, split_address

THREADS = 64
"""More than the event streams that may be open: each holds a thread for as long as it lasts."""
END_WITHIN_S = 3
"""Open event streams are cut off after that."""


def serve(services: Services) -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = services.settings
    host, port = split_address(settings.http, "http")
    certificate, key = (_find(settings, name) for name in ("http_cert_file", "http_key_file"))
    services.close()  # the worker process opens its own connections
    logging.getLogger("_granian").setLevel(logging.WARNING)
    server = Server(
        "fleet.web",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=THREADS,
        backpressure=4 * THREADS,
        workers_kill_timeout=END_WITHIN_S,
        log_enabled=False,
        ssl_cert=certificate,
        ssl_key=key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    try:
        server.serve(target_loader=partial(load_app, settings, os.getpid()), wrap_loader=False)
    except SystemExit as error:
        if error.code:
            raise SetupError("the web worker ended by itself", hint="its own message stands above") from error


def _find(settings: Settings, name: str) -> Path | None:
    """Return the file that a setting names. Raises SetupError if it cannot be read."""
    given: str = getattr(settings, name)
    path = settings.data_dir / given
    if given and not os.access(path, os.R_OK):
        raise SetupError(f"{name}: {path} cannot be read", hint="run: fengsui-fleet ca server HOST --out NAME")
    return path if given else None


def load_app(settings: Settings, served_by: int) -> APIFlask:
    """Make the application in the worker process, which ends with the process that serves.

    ``served_by`` is that process's id. Raises SetupError if it has died already: a worker that stayed would hold the
    port for good.
    """
    # Asked to end while it starts, it would meet the handler that it inherited, which does nothing in its process.
    follow(served_by, signal.SIGKILL)
    services = bootstrap(settings)
    feed = LiveFeed(services)
    feed.start()
    return create_app(services, feed)
