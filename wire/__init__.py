"""What crosses the network between a gateway and the fleet: messages, topic grammar, codec. Pure, no I/O."""
