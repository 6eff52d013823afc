"""Fault tests: the real system under load while its parts are killed, frozen and cut off."""
