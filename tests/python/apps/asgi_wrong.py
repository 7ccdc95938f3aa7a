"""Lists of messages of which the last one must be refused."""

START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b""}
WRONG = [
    [None],
    ["http.response.start"],
    [{}],
    [{"type": b"http.response.start", "status": 200}],
    [{"type": "http.response.nonsense"}],
    [{"type": "websocket.accept"}],
    [{"type": "http.response.start"}],
    [{"type": "http.response.start", "status": "200"}],
    [{"type": "http.response.start", "status": 99}],
    [{"type": "http.response.start", "status": 101}],
    [{"type": "http.response.start", "status": 70000}],
    [{"type": "http.response.start", "status": 200, "headers": 7}],
    [{"type": "http.response.start", "status": 200, "headers": [b"ab"]}],
    [{"type": "http.response.start", "status": 200, "headers": [(b"a",)]}],
    [{"type": "http.response.start", "status": 200, "headers": [("a", "b")]}],
    [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nc: d")]}],
    [{"type": "http.response.start", "status": 200, "headers": [(b"a b", b"c")]}],
    [{"type": "http.response.start", "status": 200, "headers": {b"a": b"b"}}],
    [BODY],
    [START, START],
    [START, {"type": "http.response.body", "body": "text"}],
    [START, {"type": "http.response.body", "body": 7}],
    [START, {"type": "http.response.trailers", "headers": []}],
    [START, {"type": "http.response.pathsend"}],
    [START, {"type": "http.response.pathsend", "path": "relative"}],
    [START, {"type": "http.response.pathsend", "path": "/there/is/no/such/file"}],
    [START, BODY, BODY],
    [START, BODY, START],
]
