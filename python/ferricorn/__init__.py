"""Ferricorn: a production multi-worker application server.

The server is the compiled module ``ferricorn._ferricorn``; it is started by the
``ferricorn`` command or by ``python -m ferricorn``.
"""
