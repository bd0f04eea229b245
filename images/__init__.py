"""What is put on a gateway."""
