"""The agent that runs on a gateway: acquire, alarm, spool, hand over."""
