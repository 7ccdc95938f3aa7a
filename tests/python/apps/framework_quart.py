"""Quart through its own features."""

from quart import Quart, request, websocket

app = Quart(__name__)


@app.before_serving
async def start():
    app.config["STARTED"] = True


@app.post("/form")
async def form():
    values = await request.form
    return {"started": app.config["STARTED"], "values": dict(values)}


@app.get("/stream")
async def stream():
    async def pieces():
        for number in range(5):
            yield f"{number}\n"

    return pieces(), {"Content-Type": "text/plain"}


@app.websocket("/ws")
async def echo():
    while True:
        await websocket.send(await websocket.receive())
