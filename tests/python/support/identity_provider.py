"""An identity provider on this machine: publishes a key set, counts who asks, fails when told to."""

import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from jwt import algorithms, encode


def certificate(directory):
    """A certificate for 127.0.0.1 that vouches for itself: the files of certificate and key."""
    certificate, key, request = directory / "idp.pem", directory / "idp.key", directory / "idp.conf"
    # Of its own: what the machine's adds would make it an authority's, which no server may show as its own.
    request.write_text(
        "[req]\ndistinguished_name=name\nx509_extensions=server\nprompt=no\n[name]\nCN=idp\n"
        "[server]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n"
    )
    subprocess.run(
        ["openssl", "req", "-x509", "-config", request, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )
    return certificate, key


class IdentityProvider:
    """Serves `/jwks` and `/.well-known/openid-configuration`, over TLS if there is a certificate."""

    def __init__(self, tls=None):
        self.keys, self.asked, self.fails, self.fields = [], [], False, {}
        self.changed = threading.Condition()
        handler = type("Handler", (Handler,), {"provider": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.issuer = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def publish(self, **keys):
        """The set from now on: names and keys of PyJWT's library."""
        described = [(kid, json.loads(algorithms.ECAlgorithm.to_jwk(key.public_key()))) for kid, key in keys.items()]
        self.keys = [{**jwk, "kid": kid, "use": "sig"} for kid, jwk in described]

    def wait_for(self, count, deadline):
        """Waits until so many requests have come."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.asked) >= count, deadline), self.asked

    def token(self, key, kid, now, **claims):
        """A token of this issuer."""
        whole = {"iss": self.issuer, "sub": "ann", "exp": now + 60, **claims}
        return encode(whole, key, "ES256", headers={"kid": kid})

    def close(self):
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    """One request for keys."""

    provider = None

    def do_GET(self):  # noqa: N802
        provider = self.provider
        # Before it is answered: what follows from the answer is asked for on another thread.
        with provider.changed:
            provider.asked.append(self.path)
            provider.changed.notify_all()
        if provider.fails:
            status, content = 500, {}
        elif self.path == "/.well-known/openid-configuration":
            status, content = 200, {"issuer": provider.issuer, "jwks_uri": f"{provider.issuer}/jwks"}
        else:
            status, content = 200, {"keys": provider.keys}
        text = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(text), **provider.fields}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Says nothing."""
