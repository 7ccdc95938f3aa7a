"""FastAPI and Starlette through their own features."""

import asyncio
import contextlib
import contextvars

import anyio
import gates
from fastapi import BackgroundTasks, Depends, FastAPI, File, HTTPException, Request, UploadFile, WebSocket
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.websockets import WebSocketDisconnect

USER = contextvars.ContextVar("user")


@contextlib.asynccontextmanager
async def lifespan(app):
    async with anyio.create_task_group() as group:
        print("fastapi: started", flush=True)
        yield {"pool": "the pool"}
        group.cancel_scope.cancel()
    print("fastapi: ended", flush=True)


app = FastAPI(lifespan=lifespan)


class Mark(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        USER.set(request.headers.get("x-user", "nobody"))
        response = await call_next(request)
        response.headers["x-user"] = USER.get()
        return response


app.add_middleware(Mark)


async def pool(request: Request):
    yield request.state.pool


@app.get("/json/{number}")
async def json(number: int, pool=Depends(pool)):
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0.001)
    return {"number": number, "pool": pool, "user": USER.get()}


@app.get("/threads")
def threads():
    """Starlette runs it in a thread."""
    return {"user": USER.get()}


@app.get("/missing")
async def missing():
    raise HTTPException(404, "not here")


@app.post("/upload")
async def upload(file: UploadFile = File()):
    size = 0
    while piece := await file.read(1 << 16):
        size += len(piece)
    return {"name": file.filename, "size": size}


@app.get("/background")
async def background(tasks: BackgroundTasks):
    tasks.add_task(asyncio.sleep, 0.01)
    tasks.add_task(gates.say, "background")
    return PlainTextResponse("soon")


@app.get("/events")
async def events():
    async def stream():
        try:
            for number in range(3):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.001)
            while True:
                await asyncio.sleep(3600)
        finally:
            gates.say("events ended")

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.get("/file")
async def file():
    return FileResponse(__file__)


@app.websocket("/ws/{name}")
async def socket(websocket: WebSocket, name: str):
    await websocket.accept()
    try:
        while True:
            data = await websocket.receive_json()
            await websocket.send_json({"name": name, "data": data, "pool": websocket.state.pool})
    except WebSocketDisconnect as left:
        gates.say(f"left {left.code}")
