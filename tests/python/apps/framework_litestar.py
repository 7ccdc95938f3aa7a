"""Litestar through its own features."""

from litestar import Litestar, get, post, websocket_listener


@get("/items/{number:int}")
async def item(number: int) -> dict[str, int]:
    return {"number": number}


@get("/sync", sync_to_thread=True)
def in_thread() -> str:
    return "from a thread"


@post("/items")
async def create(data: dict[str, str]) -> dict[str, str]:
    return data


@websocket_listener("/ws")
async def echo(data: str) -> str:
    return data


app = Litestar([item, in_thread, create, echo])
