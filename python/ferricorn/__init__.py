"""Ferricorn: a production multi-worker application server.

The server is the compiled module ``ferricorn._ferricorn``; it is started by the
``ferricorn`` command or by ``python -m ferricorn``.
"""

from __future__ import annotations

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("ferricorn")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
