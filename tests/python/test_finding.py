"""`ferricorn serve` alone, `manage.py runferricorn`, and what is said about an app that cannot be imported."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.client import ask
from support.server import DEADLINE, Server, clean_environment

ROOT = Path(__file__).resolve().parents[2]
APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [__name__.encode()]\n"


def test_serve_alone_in_a_django_project_finds_it_and_says_so(serve, site):
    server = serve("-w", "1", "-c", os.devnull, directory=site).ready()
    server.log.wait_for("no app is named: serving the Django project of manage.py, with the settings demo.settings")
    assert ask(server, "GET", "/").status == 200
    # What the project's settings say is served, and its collected files with it.
    assert ask(server, "GET", "/static/notes/page.css").status == 200


ASGI = (
    "async def application(scope, receive, send):\n"
    "    if scope['type'] == 'lifespan': raise ValueError\n"
    "    await send({'type': 'http.response.start', 'status': 200})\n"
    "    await send({'type': 'http.response.body', 'body': __name__.encode()})\n"
)
WSGI = APP.replace("def app", "def application")


@pytest.mark.parametrize(
    ("settings", "modules", "served"),
    [
        ('WSGI_APPLICATION = "mysite.wsgi.application"', ["asgi", "wsgi"], "mysite.wsgi"),
        ('ASGI_APPLICATION = "mysite.asgi.application"\nWSGI_APPLICATION = "mysite.wsgi.application"', ["asgi", "wsgi"], "mysite.asgi"),
        ('WSGI_APPLICATION = "mysite.wsgi.application"', ["asgi"], "mysite.asgi"),
        ("", ["asgi"], "mysite.asgi"),
    ],
)
def test_settings_of_a_django_project_say_what_is_served(serve, tmp_path, settings, modules, served):
    (tmp_path / "mysite").mkdir()
    (tmp_path / "manage.py").write_text('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")\n')
    (tmp_path / "mysite" / "settings.py").write_text(f'SECRET_KEY = "x"\n{settings}\n')
    for module in modules:
        (tmp_path / "mysite" / f"{module}.py").write_text(ASGI if module == "asgi" else WSGI)
    server = serve("-w", "2").ready()
    assert ask(server, "GET", "/").content.decode() == served
    server.log.wait_for(rf"the project's settings say what is served .*app=\"?{served}:application")
    assert server.log.text().count("the project's settings say") == 1


@pytest.mark.parametrize(
    ("files", "target"),
    [
        ({"app.py": APP}, "app:app"),
        ({"main.py": APP}, "main:app"),
        ({"wsgi.py": "from app import app\n", "app.py": APP, "main.py": APP}, "wsgi:app"),
        ({"app.py": APP + "def create_app():\n    return app\n"}, "app:app"),
        ({"app.py": APP.replace("def app", "def other") + "def create_app():\n    return other\n"}, "app:create_app()"),
    ],
)
def test_serve_alone_finds_the_app_of_a_directory(serve, tmp_path, files, target):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    server = serve("-w", "1").ready()
    server.log.wait_for(f"no app is named: serving the app {re.escape(target)} of ")
    assert ask(server, "GET", "/").status == 200


def test_several_apps_that_could_be_meant_are_all_named(serve, tmp_path):
    for name in ("app.py", "main.py"):
        (tmp_path / name).write_text(APP)
    server = serve("-w", "1")
    assert server.wait() == 2
    assert "no app is named, and app:app and main:app could be meant; name one: ferricorn serve app:app" in server.log.text()


@pytest.mark.parametrize(
    ("manage", "said"),
    [
        (["mysite.development", "mysite.production"], "names several settings, mysite.development and mysite.production;"),
        ([], "chooses its settings as it runs;"),
    ],
)
def test_settings_that_manage_py_does_not_settle_are_asked_for(serve, tmp_path, manage, said):
    names = [f"'{name}'" for name in manage] or ["f'mysite.{stage}'"]
    lines = [f'os.environ.setdefault("DJANGO_SETTINGS_MODULE", {name})\n' for name in names]
    (tmp_path / "manage.py").write_text("".join(lines))
    server = serve("-w", "1")
    assert server.wait() == 2
    example = (manage or ["MODULE"])[0]
    assert f"manage.py {said} say which: ferricorn serve -e DJANGO_SETTINGS_MODULE={example}" in server.log.text()


def test_a_django_project_in_a_directory_below_is_named(serve, tmp_path):
    for name in ("backend", "src"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manage.py").write_text('os.environ.setdefault(\n    "DJANGO_SETTINGS_MODULE", "mysite.settings"\n)\n')
    server = serve("-w", "1")
    assert server.wait() == 2
    assert "a Django project in backend and in src; serve it by: ferricorn serve --chdir backend" in server.log.text()


def test_serve_alone_where_there_is_no_app_serves_the_demo(serve):
    assert ask(serve("-w", "1").ready(), "GET", "/").status == 200


def test_variables_of_the_command_line_reach_the_app_that_was_found(serve, tmp_path):
    (tmp_path / "app.py").write_text("import os\n" + APP.replace("__name__", "os.environ['GIVEN']"))
    assert ask(serve("-w", "1", "-e", "GIVEN=by -e").ready(), "GET", "/").content == b"by -e"


class Managed(Server):
    """`manage.py runferricorn` in place of `ferricorn serve`."""

    def __init__(self, site, directory, *arguments):
        command = [sys.executable, os.path.join(site, "manage.py"), "runferricorn", *arguments]
        self.start(command, directory, clean_environment())


@pytest.fixture
def project(tmp_path):
    """A project with the app `ferricorn` in it, whose settings also say so to the page."""
    subprocess.run([sys.executable, "-m", "django", "startproject", "mysite", str(tmp_path)], check=True)
    settings = tmp_path / "mysite" / "settings.py"
    settings.write_text(settings.read_text().replace("INSTALLED_APPS = [", "INSTALLED_APPS = [\n    'ferricorn',"))
    (tmp_path / "mysite" / "urls.py").write_text(
        "import os, sys\nfrom django.http import JsonResponse\nfrom django.urls import path\n"
        "def show(request):\n"
        "    return JsonResponse({'argv': sys.argv, 'master': os.getppid(), 'settings': os.environ['DJANGO_SETTINGS_MODULE']})\n"
        "urlpatterns = [path('', show)]\n"
    )
    return tmp_path


@pytest.mark.parametrize("elsewhere", [False, True])
def test_runferricorn_puts_the_server_in_the_place_of_manage_py(project, tmp_path_factory, elsewhere):
    directory = tmp_path_factory.mktemp("elsewhere") if elsewhere else project
    server = Managed(project, directory, "127.0.0.1:0", "-w", "1", "-v", "1", "--settings", "mysite.settings")
    try:
        told = __import__("json").loads(ask(server.ready(), "GET", "/").content)
        assert told["master"] == server.process.pid, "the process is another one"
        assert told["settings"] == "mysite.settings"
        with open(f"/proc/{server.process.pid}/maps") as maps:
            # The master has nothing of the project loaded, and so no library that only Django brings in.
            assert "django" not in maps.read()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    finally:
        server.close()


def test_runferricorn_takes_the_flags_of_serve(project):
    sys.path.insert(0, str(project))
    try:
        from ferricorn.management.commands.runferricorn import arguments

        app = "mysite.wsgi:application"
        assert arguments([], app)[:2] == ["serve", app]
        assert arguments(["8001"], app)[-2:] == ["--bind", "127.0.0.1:8001"]
        assert arguments(["[::1]:8001", "-w", "4"], app)[-4:] == ["--bind", "[::1]:8001", "-w", "4"]
        assert arguments(["0.0.0.0:8001"], app)[-2:] == ["--bind", "0.0.0.0:8001"]
        assert arguments(["-w", "4", "--settings=x", "-v", "2", "--no-color", "--noreload"], app)[-2:] == ["-w", "4"]
        assert arguments(["--pythonpath", "/a,/b", "-w", "1"], app)[2:] == ["--pythonpath", "/a,/b", "-w", "1"]
        assert arguments(["--help"], app) == ["serve", "--help"]
    finally:
        sys.path.remove(str(project))


@pytest.mark.parametrize("words", [["runferricorn", "--help"], ["help", "runferricorn"]], ids=" ".join)
def test_runferricorn_explains_itself(project, words):
    shown = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=project, env=clean_environment(), capture_output=True, text=True, timeout=DEADLINE, check=True,
    )
    assert "--workers" in shown.stdout


def test_runferricorn_is_no_command_to_be_called_from_code(project):
    code = "import django; django.setup(); from django.core.management import call_command; call_command('runferricorn')"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=clean_environment(DJANGO_SETTINGS_MODULE="mysite.settings"),
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )
    assert ran.returncode == 1 and "CommandError: the server takes the place of its process: run `manage.py" in ran.stderr


@pytest.mark.parametrize(
    ("files", "target", "hint"),
    [
        ({"site_app.py": "import no_such_thing\n"}, "site_app", r"no_such_thing is not installed for .*pip install no_such_thing"),
        ({"site_app.py": "import no_such_thing\n", "requirements.txt": ""}, "site_app", r"pip install -r requirements\.txt"),
        ({"site_app.py": "import no_such_thing\n", ".venv/pyvenv.cfg": ""}, "site_app", r"virtual environment in .*/\.venv"),
        ({"code/site_app.py": APP}, "site_app:app", r"site_app is in .*/code: start there, or add --chdir code"),
        ({"code/part.py": "", "site_app.py": "import part\n"}, "site_app", r"part is in .*/code: start there, or add --pythonpath code"),
        ({}, "site_app", r"there is no module site_app in .*--chdir or --pythonpath"),
        ({"site_app.py": APP}, "site_ap:app", r"there is no module site_ap in .*: there is site_app; or name"),
        ({"mysite/__init__.py": "", "mysite/wsgi.py": ""}, "mysite", r"neither application nor app.*; there is mysite\.wsgi"),
        ({"mysite/wsgi.py": WSGI}, "mysite.wsgi.application", r"application is in the module mysite\.wsgi: write mysite\.wsgi:application"),
        ({"site_app.py": "def make(): import no_such_thing\n"}, "site_app:make()", r"make\(\) failed:\n(.*\n)+.*no_such_thing is not installed for"),
        ({"site_app.py": "import sys\nsys.exit()\n"}, "site_app", r"the app ends its process while it is loaded"),
        ({"mysite/__init__.py": "", "mysite/asgi.py": ""}, "mysite.wsgi", r"the package mysite in .*/mysite has no module wsgi; there is mysite\.asgi"),
        ({"site_app.py": "import os.path.join\n"}, "site_app", r"join is in the module os\.path: write from os\.path import join"),
        ({"flask.py": "", "site_app.py": "import flask.views\n"}, "site_app", r"/flask\.py is taken for the package flask: rename it"),
        ({"one.py": "from two import b\na = 1\n", "two.py": "from one import a\nb = 1\n"}, "one", "import each other"),
        ({"site_app.py": "from django.conf import settings\nsettings.DEBUG\n"}, "site_app", "-e DJANGO_SETTINGS_MODULE="),
        ({"site_app.py": APP}, "site_app:missing", "; there is app"),
        ({"site_app.py": "def create_app(): ...\n"}, "site_app", r"; there is create_app\(\)"),
    ],
)
def test_a_failed_import_says_what_to_do(serve, tmp_path, files, target, hint):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    server = serve(target, "-w", "1")
    assert server.wait() == 3
    assert re.search(hint, server.log.text()), server.log.text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_who_may_not_read_the_code_or_its_interpreter_is_named(serve, tmp_path):
    (tmp_path / "site_app.py").write_text(APP)
    tmp_path.chmod(0o700)
    server = serve("site_app:app", "-w", "1", "--user", "nobody")
    assert server.wait() == 3
    assert re.search(r"hint: the user nobody, as whom the apps run \(server\.user\), may not (enter|read) /", server.log.text())


# As a worker that has become another user explains a missing module.
EXPLAINING = """
import os, pwd, site, sys
source = sys.stdin.read()
sys.path[:] = ["/", site.getusersitepackages()]
os.setuid(65534)
os.chdir("/")
space = {}
exec(source, space)
try:
    import no_such_thing
except ImportError as error:
    print(space["hint"](error, "site_app"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_packages_of_another_users_home_are_not_taken_for_the_cause(tmp_path):
    """Whoever starts the server as root has them on the path, and workers may not read them."""
    tmp_path.chmod(0o700)
    source = (ROOT / "src" / "app" / "python" / "import_hint.py").read_text()
    environment = clean_environment(PYTHONUSERBASE=str(tmp_path))
    told = subprocess.run(
        [sys.executable, "-c", EXPLAINING], input=source, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=True
    ).stdout
    assert "no_such_thing is not installed for" in told and "was not looked into, where the user nobody" in told
