"""What a gateway tells of itself when the fleet asks: its log, a support bundle, a device read now."""
