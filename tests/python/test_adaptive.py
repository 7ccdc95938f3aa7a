"""As many workers as there is work for."""

import json

from test_cancel import answer, begin, ctl

CONFIG = """
[workers]
count = { min = 1, max = 3 }
shrink_after = "1s"

[timeouts]
request = "0s"
"""


def scaling(server):
    """What `ctl status` tells of it."""
    code, output, _ = ctl(server, "status", "--json")
    assert code == 0, output
    return json.loads(output)["scaling"]


def test_work_brings_workers_and_silence_takes_them_away_and_nothing_is_lost(serve, gates, tmp_path, transport):
    (tmp_path / "ferricorn.toml").write_text(CONFIG)
    server = serve("hanging", "-c", "ferricorn.toml", transport=transport, environment=gates.environment).ready()
    assert len(server.workers()) == 1
    connections = [begin(server, f"/gated?{number}") for number in range(6)]
    # One is in the app; the others wait, and each worker that comes takes one.
    for _ in range(3):
        gates.expect("entered")
    server.log.wait_for(r"2 workers: requests wait before=1")
    server.log.wait_for(r"3 workers: (requests wait|nearly all app threads are busy) before=2")
    assert ctl(server, "scale", "4")[2].startswith("error: 4 workers are not possible, only 1 to 3; there are 3 now")
    server.log.wait_for(r"stays at 3 workers: workers\.count says 3 at most")
    for _ in connections:
        gates.release()
    assert [answer(connection)[0] for connection in connections] == [200] * 6
    since = server.log.position()
    server.log.wait_for(r"1 worker: one less has been enough for workers.shrink_after before=2")
    # The connections of those that have left are served by who stays.
    server.log.wait_for(r"worker left", since, 2)
    for connection in connections:
        connection.sendall(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [answer(connection)[0] for connection in connections] == [200] * 6
    for connection in connections:
        connection.close()
    told = scaling(server)
    assert (told["min"], told["max"], told["grown"], told["shrunk"]) == (1, 3, 2, 2)
