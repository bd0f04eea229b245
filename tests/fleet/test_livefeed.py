from __future__ import annotations

import sqlalchemy as sa

from fleet.alarms.models import AlarmEvent
from fleet.bootstrap import Services, bootstrap
from fleet.gateways import service as gateways
from fleet.livefeed import LiveFeed
from tests.fleet import edge
from tests.fleet.broker_fixtures import client, own_broker, until, with_broker_port
from wire.codec import encode
from wire.health import Health
from wire.sample import Live
from wire.topics import Up, format_topic

LIVE = format_topic(edge.GATEWAY, Up.LIVE)


async def test_values_health_and_alarms_reach_the_web_program(services: Services) -> None:
    with services.database.writing() as session:
        _, token = gateways.register(session, edge.GATEWAY, "", None, services.clock())
    settings = with_broker_port(services)
    with own_broker(settings):
        web = bootstrap(settings)
        feed = LiveFeed(web)
        feed.start()
        try:
            await until(lambda: feed.broker_up)
            async with client(settings, edge.GATEWAY, token) as gateway:
                await gateway.publish(LIVE, b"\x00garbage")
                health = Health(
                    release="0.1.0", uptime_s=float("inf"), clock="synced", lanes={}, groups={}, buses={}, outputs={}
                )
                await gateway.publish(format_topic(edge.GATEWAY, Up.HEALTH), encode(health))
                await gateway.publish(LIVE, encode(Live(tags={"tank-01.level": (50.5, 0, 7)})))
                await until(lambda: "tank-01.level" in web.live.snapshot(edge.GATEWAY))
            assert web.live.snapshot(edge.GATEWAY)["tank-01.level"].value == 50.5
            known = web.live.health(edge.GATEWAY)
            assert known is not None
            assert (known.document["clock"], known.document["uptime_s"]) == ("synced", None)
            seen = web.live.version
            with web.database.writing() as session:
                line = {"gateway": edge.GATEWAY, "kind": "audit", "received_ns": 1, "record_id": 1}
                empty = dict.fromkeys(("alarm", "tag", "level", "output", "state", "event", "detail"), "")
                session.execute(sa.insert(AlarmEvent), [{**line, **empty}])
            await until(lambda: web.live.wait(edge.GATEWAY, seen, 0)[1].alarms)
        finally:
            feed.stop()
            web.close()
