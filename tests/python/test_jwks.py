"""Key sets of an identity provider: fetched over verified TLS, and what happens while there are none."""

import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from support.client import ask
from support.identity_provider import IdentityProvider, certificate
from support.server import DEADLINE

CONFIG = """
[workers]
count = 2

[[app]]
target = "native:hello"

[auth]

[[auth.provider]]
name = "idp"
issuer = "{issuer}"
subject_claim = "sub"
token_type = ""
require = ["exp"]
{source}

[[auth.route]]
prefix = "/public"
require = "none"

[[auth.route]]
prefix = "/"
require = "idp"
"""


@pytest.fixture
def provide():
    """Starts identity providers, and ends them."""
    started = []

    def start(tls=None):
        started.append(IdentityProvider(tls))
        return started[-1]

    yield start
    for provider in started:
        provider.close()


def start(serve, directory, provider, source):
    """A server that takes its keys from there."""
    (directory / "ferricorn.toml").write_text(CONFIG.format(issuer=provider.issuer, source=source))
    return serve("-c", "ferricorn.toml").ready()


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def asked(server, token, path="/"):
    """The status of a request with that token, and all fields of the answer."""
    answer = ask(server, "GET", path, fields={"Authorization": f"Bearer {token}"})
    return answer.status, answer.fields


def test_keys_come_by_tls_that_is_verified(serve, tmp_path, provide):
    tls = certificate(tmp_path)
    provider = provide(tls)
    key = new_key()
    provider.publish(one=key)
    token = provider.token(key, "one", int(time.time()))
    server = start(serve, tmp_path, provider, f'jwks_url = "{provider.issuer}/jwks"\njwks.ca_file = "idp.pem"')
    # Sixteen connections reach both workers, and a request that comes before the keys waits for them.
    assert [asked(server, token)[0] for _ in range(16)] == [200] * 16
    assert asked(server, token + "A")[0] == 401
    other = start(serve, tmp_path, provider, f'jwks_url = "{provider.issuer}/jwks"')
    status, fields = asked(other, token)
    assert status == 503 and fields["Retry-After"] == "5" and fields["WWW-Authenticate"] is None
    assert asked(other, token, "/public")[0] == 200
    other.log.wait_for("the keys of https://127.0.0.1:.* cannot be fetched: TLS")


def test_dead_provider_is_asked_with_pauses_and_its_tokens_wait(serve, tmp_path, provide):
    provider = provide()
    provider.fails = True
    key = new_key()
    provider.publish(one=key)
    token = provider.token(key, "one", int(time.time()))
    server = start(serve, tmp_path, provider, f'jwks_url = "{provider.issuer}/jwks"')
    assert {asked(server, token)[0] for _ in range(20)} == {503}
    provider.wait_for(2, DEADLINE)
    provider.fails = False
    server.log.wait_for("the keys of .* can be fetched again")
    assert asked(server, token)[0] == 200
    assert len(provider.asked) < 8
