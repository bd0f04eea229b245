"""Claims: how a gateway nobody has a certificate of gets its first one."""
