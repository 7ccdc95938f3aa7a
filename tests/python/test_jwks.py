"""Key sets of an identity provider: fetched for all workers, changed without a restart, limited whoever asks."""

import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from support.client import ask
from support.identity_provider import IdentityProvider, certificate
from support.server import DEADLINE
from test_ctl import ctl

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


def test_new_keys_are_found_by_discovery_and_floods_ask_once(serve, tmp_path, provide):
    provider = provide()
    old, new = new_key(), new_key()
    provider.publish(old=old)
    now = int(time.time())
    server = start(serve, tmp_path, provider, "discovery = true")
    assert asked(server, provider.token(old, "old", now))[0] == 200
    assert provider.asked == ["/.well-known/openid-configuration", "/jwks"], "one process asks for all workers"
    provider.publish(old=old, new=new)
    assert {asked(server, provider.token(new, "new", now))[0] for _ in range(8)} == {200}, "at once"
    assert len(provider.asked) == 4
    assert asked(server, provider.token(old, "old", now))[0] == 200
    flood = [asked(server, provider.token(new, f"none-{number}", now))[0] for number in range(50)]
    assert flood == [401] * 50 and len(provider.asked) == 4, "not before min_refetch is over"
    provider.fails = True
    code, _, complaint = ctl(server, "reload-keys")
    assert code == 1 and "old keys stay in use" in complaint and "500" in complaint
    assert asked(server, provider.token(new, "new", now))[0] == 200
    provider.fails = False
    provider.publish(new=new)
    code, output, complaint = ctl(server, "reload-keys")
    assert (code, complaint) == (0, "") and "2 workers" in output
    assert {asked(server, provider.token(old, "old", now))[0] for _ in range(8)} == {401}, "the old key is gone"
    assert {asked(server, provider.token(new, "new", now))[0] for _ in range(8)} == {200}


def test_workers_of_reloads_and_crashes_find_the_set_and_the_admin_process_goes_on(serve, tmp_path, provide):
    provider = provide()
    key = new_key()
    provider.publish(one=key)
    now = int(time.time())
    server = start(serve, tmp_path, provider, f'jwks_url = "{provider.issuer}/jwks"')
    assert asked(server, provider.token(key, "one", now))[0] == 200
    provider.fails = True
    server.reload()
    assert {asked(server, provider.token(key, "one", now))[0] for _ in range(8)} == {200}
    provider.fails = False
    later = new_key()
    provider.publish(later=later)
    assert {asked(server, provider.token(later, "later", now))[0] for _ in range(8)} == {200}


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
