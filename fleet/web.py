"""Serve the web application with granian: one worker process, a thread for each request or event stream."""

from __future__ import annotations

import logging
import os
from functools import partial

from apiflask import APIFlask
from granian.constants import Interfaces
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
    host, port = split_address(services.settings.http, "http")
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
    )
    try:
        server.serve(target_loader=partial(load_app, services.settings, os.getpid()), wrap_loader=False)
    except SystemExit as error:
        if error.code:
            raise SetupError("the web worker ended by itself", hint="its own message stands above") from error


def load_app(settings: Settings, served_by: int) -> APIFlask:
    """Make the application in the worker process, which ends with the process that serves.

    ``served_by`` is that process's id. Raises SetupError if it has died already: a worker that stayed would hold the
    port for good.
    """
    follow(served_by)
    services = bootstrap(settings)
    feed = LiveFeed(services)
    feed.start()
    return create_app(services, feed)
