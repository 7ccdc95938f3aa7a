"""The Django example, from token to admin, served as `make run` serves it."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.client import Load, ask
from support.server import clean_environment


@pytest.fixture
def django(serve, site, transport):
    """The example with two workers, its Python calls counted."""
    return serve("counted:application", "-c", "ferricorn.toml", directory=site, transport=transport).ready()


def password(site):
    """The demo user's."""
    return (site / "secret" / "demo.password").read_text().strip()


def entered(site):
    """The paths that Python was called with."""
    return (site / "entered.log").read_text().splitlines()


def post_json(server, target, value, fields=None):
    """One POST of a JSON object."""
    return ask(server, "POST", target, json.dumps(value), {"Content-Type": "application/json", **(fields or {})})


def tokens(server, site):
    """What the token view issues to the demo user."""
    answer = post_json(server, "/api/token/", {"username": "demo", "password": password(site)})
    assert answer.status == 200, answer
    return json.loads(answer.content)


def bearer(token):
    """The field that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def test_token_of_the_project_opens_its_api(django, site):
    issued = tokens(django, site)
    fields = bearer(issued["access"])
    me = ask(django, "GET", "/api/me", fields=fields)
    assert (me.status, json.loads(me.content)["username"]) == (200, "demo")

    made = post_json(django, "/api/notes/", {"title": "from a test"}, fields)
    assert made.status == 201
    note = f"/api/notes/{json.loads(made.content)['id']}/"
    assert json.loads(ask(django, "GET", note, fields=fields).content)["title"] == "from a test"
    assert ask(django, "DELETE", note, fields=fields).status == 204

    claims = json.loads(ask(django, "GET", "/whoami", fields=fields).content)["claims"]
    assert (claims["token_type"], claims["user_id"]) == ("access", "1")
    assert json.loads(ask(django, "GET", "/whoami").content) == {"claims": None}

    renewed = post_json(django, "/api/token/refresh/", {"refresh": issued["refresh"]})
    assert renewed.status == 200
    assert ask(django, "GET", "/api/me", fields=bearer(json.loads(renewed.content)["access"])).status == 200


def test_bad_token_never_reaches_python(django, site):
    issued = tokens(django, site)
    head, payload, signature = issued["access"].split(".")
    # Another first character, since the bits of the last are not all significant.
    forged = signature.translate(str.maketrans({signature[0]: "A" if signature[0] != "A" else "B"}))
    before = entered(site)
    for fields in (
        {},
        bearer(""),
        bearer("forged"),
        bearer(f"{head}.{payload}.{forged}"),
        bearer(f"{head}.{payload}."),
        bearer(issued["refresh"]),
        {"Authorization": "Basic ZGVtbzpkZW1v"},
        {"ferricorn.jwt": '{"user_id": "1"}', "X-Ferricorn-Jwt": "1"},
    ):
        for target in ("/api/me", "/api/notes/", "/api//me", "/api/%6de", "/%61pi/me", "/api/token/../me"):
            answer = ask(django, "GET", target, fields=fields)
            assert answer.status in (400, 401), (target, fields, answer)
            if answer.status == 401:
                assert answer.fields["WWW-Authenticate"].startswith("Bearer ")
    assert entered(site) == before
    assert ask(django, "GET", "/api/me", fields=bearer(issued["access"])).status == 200
    assert entered(site) == [*before, "/api/me"]


def test_inactive_user_is_refused_by_the_project(django, site):
    fields = bearer(tokens(django, site)["access"])
    def set_active(value):
        code = f"from django.contrib.auth.models import User; User.objects.update(is_active={value})"
        command = [sys.executable, "manage.py", "shell", "-c", code]
        subprocess.run(command, cwd=site, check=True, env=clean_environment(), timeout=60, capture_output=True)

    set_active(False)
    try:
        assert ask(django, "GET", "/api/me", fields=fields).status == 401
    finally:
        set_active(True)
    assert ask(django, "GET", "/api/me", fields=fields).status == 200


def test_static_files_are_served_without_python(django, site):
    sheet = ask(django, "GET", "/static/admin/css/base.css")
    assert sheet.status == 200
    assert sheet.fields["Content-Type"].startswith("text/css")
    assert sheet.content == (site / "collected/admin/css/base.css").read_bytes()
    again = ask(django, "GET", "/static/admin/css/base.css", fields={"If-None-Match": sheet.fields["ETag"]})
    assert again.status == 304
    assert ask(django, "GET", "/static/../secret/jwt.key").status in (400, 404)
    assert ask(django, "GET", "/static/%2e%2e/secret/jwt.key").status in (400, 404)
    assert entered(site) == []


def test_public_page_and_unknown_page(django):
    assert b"<h1>Notes</h1>" in ask(django, "GET", "/").content
    assert ask(django, "GET", "/nothing-here").status == 404


def test_upload_stream_and_echo(django, site):
    fields = bearer(tokens(django, site)["access"])
    content = os.urandom(5 << 20)
    # Long enough never to be met in random bytes.
    boundary = os.urandom(16).hex()
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n'
    form = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = ask(django, "POST", "/api/upload", form, {**fields, **kind})
    assert json.loads(answer.content) == {
        "name": "f.bin",
        "length": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    lines = ask(django, "GET", "/api/stream?lines=1000", fields=fields).content.decode().splitlines()
    assert lines == [f"line {number}" for number in range(1000)]
    echo = json.loads(ask(django, "PUT", "/api/echo?a=b", b"content", fields).content)
    assert (echo["method"], echo["query"], echo["content"]) == ("PUT", "a=b", "content")


def test_reload_and_crash_under_load(django):
    with Load(django, "/whoami", clients=3) as load:
        django.reload(r"reload done: generation 2\b")
        load.more()
        assert load.failures == []
        since = django.log.position()
        os.kill(django.workers(generation=2)[min(django.workers(generation=2))], signal.SIGKILL)
        django.log.wait_for("worker ready", since)
        load.more()
    assert len(load.failures) <= 3, load.failures
    assert django.stop() == 0


def find_browser():
    """Chromium and its driver; on Debian as root they can be installed, so their absence is a failure."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser and driver:
        return browser, driver
    message = "chromium or chromedriver is not installed"
    if Path("/etc/debian_version").exists() and os.geteuid() == 0:
        pytest.fail(message + "; `make test` installs them")
    pytest.skip(message)


@pytest.fixture
def browser(tmp_path):
    """A headless Chromium with a profile of its own."""
    binary, driver = find_browser()
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1200,900",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=driver)
    session = webdriver.Chrome(options=options, service=service)
    session.set_page_load_timeout(60)
    yield session
    session.quit()


@pytest.mark.parametrize("app", ["as configured", "by_asgi"])
def test_browser_logs_into_the_styled_admin(serve, site, browser, app):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    (site / "by_asgi.py").write_text(
        "import os\nfrom django.core.asgi import get_asgi_application\n"
        'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")\napplication = get_asgi_application()\n'
    )
    by_asgi = ["by_asgi"] if app == "by_asgi" else []
    server = serve(*by_asgi, "-c", "ferricorn.toml", directory=site).ready()
    browser.get(f"http://127.0.0.1:{server.port}/admin/")
    browser.find_element(By.NAME, "username").send_keys("demo")
    browser.find_element(By.NAME, "password").send_keys(password(site))
    browser.find_element(By.CSS_SELECTOR, "input[type=submit]").click()
    WebDriverWait(browser, 30).until(lambda page: "Site administration" in page.title)

    colour = browser.find_element(By.ID, "header").value_of_css_property("background-color")
    assert colour not in ("rgba(0, 0, 0, 0)", "transparent"), "the admin's style sheet was not applied"

    browser.get(f"http://127.0.0.1:{server.port}/admin/notes/note/add/")
    browser.find_element(By.NAME, "title").send_keys("written in a browser")
    browser.find_element(By.CSS_SELECTOR, "select[name=owner] option:last-child").click()
    browser.find_element(By.NAME, "_save").click()
    # By title, so that no element of the page being left is asked.
    WebDriverWait(browser, 30).until(lambda page: page.title.startswith("Select note"))
    assert "written in a browser" in browser.find_element(By.ID, "result_list").text


def project_settings(site, text):
    """A settings module of its own; the flags that choose it."""
    (site / "other_settings.py").write_text(f"from demo.settings import *\n{text}\n")
    return ["-c", "ferricorn.toml", "-w", "2", "-e", "DJANGO_SETTINGS_MODULE=other_settings"]


def test_collected_files_are_served_without_configuration(serve, site):
    server = serve("-c", "ferricorn.toml", directory=site).ready()
    assert "\nstatic =" not in (site / "ferricorn.toml").read_text()
    assert ask(server, "GET", "/static/admin/css/base.css").status == 200
    said = [line for line in server.log.lines if "static files that the Django project" in line]
    assert len(said) == 1 and "mount=/static" in said[0], server.log.text()


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ('STATIC_URL = "assets/"', 404, "mount=/assets"),
        ('STATIC_URL = "https://cdn.example/static/"', 404, None),
        ("STATIC_ROOT = None", 404, None),
        ('STATIC_ROOT = BASE_DIR / "nothing-here"', 404, "run `python manage.py collectstatic`"),
        ("STATIC_ROOT = BASE_DIR", 404, "holds the project's own code"),
        ('MEDIA_ROOT = STATIC_ROOT / "admin"', 404, "holds MEDIA_ROOT"),
    ],
)
def test_settings_decide_what_is_served(serve, site, text, status, said):
    server = serve(*project_settings(site, text), directory=site).ready()
    assert ask(server, "GET", "/static/admin/css/base.css").status == status
    assert ask(server, "GET", "/static/demo/settings.py").status == 404
    assert ask(server, "GET", "/static/secret/jwt.key").status == 404
    if text.startswith('STATIC_URL = "assets/"'):
        assert ask(server, "GET", "/assets/admin/css/base.css").status == 200
    lines = [line for line in server.log.lines if "Django project" in line]
    assert len(lines) == (said is not None), lines
    assert said is None or said in lines[0]


def test_with_debug_on_nothing_is_served_unasked(serve, site):
    server = serve(*project_settings(site, "DEBUG = True"), directory=site).ready()
    # Django's own answer: its static view is not for WSGI servers.
    assert ask(server, "GET", "/static/admin/css/base.css").status == 404
    assert "Django project" not in server.log.text()


@pytest.mark.parametrize("more", ['[python]\nstatic = "off"\n', '[[app]]\nmount = "/static"\ntarget = "native:hello"\n'])
def test_operator_comes_before_the_project(serve, site, more):
    text = (site / "ferricorn.toml").read_text()
    (site / "other.toml").write_text(more + text)
    server = serve("-c", "other.toml", directory=site).ready()
    answer = ask(server, "GET", "/static/admin/css/base.css")
    if "hello" in more:
        assert (answer.status, answer.content) == (200, b"Hello, World!")
    else:
        assert answer.status == 404
    assert "Django project" not in server.log.text()


def test_static_directory_named_by_flag_or_file_is_served(serve, site):
    flagged = serve("-c", "ferricorn.toml", "--static", "/files=collected", directory=site).ready()
    assert ask(flagged, "GET", "/files/admin/css/base.css").status == 200
    text = (site / "ferricorn.toml").read_text()
    (site / "other.toml").write_text('[[app]]\nmount = "/files"\nstatic = "collected"\n' + text)
    written = serve("-c", "other.toml", directory=site).ready()
    assert ask(written, "GET", "/files/admin/css/base.css").status == 200
