"""The compiled module."""

from os import PathLike
from typing import Any, Callable, Optional, Sequence, Union

__all__ = [
    "ClientGone",
    "Figure",
    "InvalidToken",
    "RequestInterrupted",
    "Verifier",
    "main",
    "metrics_define",
    "metrics_labels",
    "metrics_page",
    "refusal",
    "try_interruptions",
]

def main(arguments: Sequence[Union[str, PathLike[str]]]) -> int:
    """Run the command line with these arguments, the program's name first; returns the exit code."""

def try_interruptions(app: Callable[[], Any], rounds: int) -> tuple[int, int, int]:
    """For the tests of this package."""

class RequestInterrupted(BaseException):
    """Raised in a request that is past its time limit or was cancelled. Let it pass: the client has been answered."""

class ClientGone(BrokenPipeError):
    """Raised by write() once the client has gone."""

class InvalidToken(ValueError):
    """A token that is refused; ``args`` are a word for logs, and what its sender may be told."""

    args: tuple[str, str]

class Verifier:
    """Judges tokens by the providers of a configuration file."""

    schemes: list[str]
    detail: bool
    def __init__(self, config: Union[str, PathLike[str]], /) -> None: ...
    def verify(self, token: str, /) -> dict[str, Any]:
        """What a good token says: claims, header, provider, kid, expires."""
    def refusal(self, reason: str, /) -> tuple[int, str, Optional[str]]:
        """How the server refuses for this reason: status, content as JSON, challenge."""

def refusal(reason: str, realm: str, /) -> tuple[int, str, Optional[str]]:
    """As that of a `Verifier`, in the words of simplejwt."""

class Figure:
    def __new__(
        cls, kind: str, name: str, help: str, labels: Sequence[tuple[str, str]], bounds: Sequence[float]
    ) -> Figure: ...
    def add(self, amount: float, part: int = 0) -> None: ...
    def set(self, value: float, part: int = 0) -> None: ...
    def observe(self, value: float) -> None: ...
    def is_told(self) -> bool: ...
    def read(self, part: int = 0) -> float: ...

def metrics_define(kind: str, name: str, labels: Sequence[str], bounds: Sequence[float]) -> None: ...
def metrics_labels() -> dict[str, list[str]]: ...
def metrics_page() -> str: ...
