"""What `/metrics` tells."""

import http.client
import re

AT_ANY_PORT = {"FERRICORN_ADMIN_ADDRESS": "127.0.0.1:0"}


def parsed(page):
    """Values by name with labels."""
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def admin_page(server):
    """The page at the address that the server tells in its log."""
    port = server.log.wait_for(r"health, metrics and status at http://127\.0\.0\.1:(\d+)")[0][1]
    client = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
    try:
        client.request("GET", "/metrics")
        return client.getresponse().read().decode()
    finally:
        client.close()


def told(server):
    """The figures of its apps."""
    return {name: value for name, value in parsed(admin_page(server)).items() if not re.match("ferricorn_", name)}
