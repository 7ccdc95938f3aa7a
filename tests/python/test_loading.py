"""Apps that load, apps that do not, and what the operator is told."""

import pytest

from support.client import ask


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("application = app", "site_app"),
        ("", "site_app"),
        ("", "site_app:app"),
        ("class Holder: inner = app\nholder = Holder", "site_app:holder.inner"),
        ("def make(): return app", "site_app:make()"),
        # A decorator that says something else of what it takes.
        ("import inspect\ndef told(*call): return app(*call)\ntold.__signature__ = inspect.signature(lambda: 0)", "site_app:told"),
        ("class Holder:\n    def make(mode, *, on): return {('a:b', True): app}[mode, on]", "site_app:Holder.make('a:b', on=True)"),
    ],
)
def test_app_is_found_by_its_name(serve, tmp_path, source, target):
    app = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'found']\n"
    (tmp_path / "site_app.py").write_text(app + source)
    if target.endswith("inner"):
        source = (app + source).replace("inner = app", "inner = staticmethod(app)")
        (tmp_path / "site_app.py").write_text(source)
    assert ask(serve(target, "-w", "1").ready(), "GET", "/").content == b"found"


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("import no_such_module_anywhere", "site_app", ["Traceback", "no_such_module_anywhere", "site_app.py"]),
        ("raise RuntimeError('broken on purpose')", "site_app", ["Traceback", "broken on purpose", "site_app.py"]),
        ("def application(:", "site_app", ["SyntaxError", "site_app.py"]),
        ("", "not_there_at_all", ["not_there_at_all"]),
        ("", "site_app", ["application", "app"]),
        ("", "site_app:missing", ["missing"]),
        ("application = 5", "site_app:application", ["callable"]),
        ("def make(): raise ValueError('no app today')", "site_app:make()", ["Traceback", "no app today"]),
        ("def make(mode): ...", "site_app:make(print('run'))", ["(print('run')) are no arguments: write literals"]),
        ("def application(config=None): ...", "site_app", ["as a WSGI app", "if it makes the app, write site_app:application()"]),
        ("async def app(environ, start_response): ...", "site_app:app", ["as an ASGI app, with (scope, receive, send): it takes (environ"]),
        ("def make(mode): ...", "site_app:make() + make()", ["are no arguments: write literals"]),
    ],
)
@pytest.mark.parametrize("flags", [["-w", "2"], ["--check-config"]])
def test_app_that_does_not_load_ends_the_start_with_3(serve, tmp_path, source, target, told, flags):
    (tmp_path / "site_app.py").write_text(source)
    server = serve(target, *flags)
    assert server.wait() == 3, server.log.text()
    for text in told:
        assert text in server.log.text()


def test_check_of_the_configuration_loads_the_app_and_serves_nothing(serve, tmp_path):
    (tmp_path / "site_app.py").write_text("print('loaded')\ndef application(environ, start_response): ...\n")
    server = serve("site_app", "--check-config")
    assert server.wait() == 0, server.log.text()
    assert "loaded" in server.log.text() and "configuration is valid" in server.log.text()
    assert "listening" not in server.log.text()


@pytest.mark.parametrize(("setting", "frozen"), [(None, True), ("false", False)])
def test_what_loading_has_made_is_left_out_of_garbage_collections(serve, tmp_path, setting, frozen):
    (tmp_path / "site_app.py").write_text(
        "import gc\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(gc.get_freeze_count()).encode()]\n"
    )
    settings = {} if setting is None else {"FERRICORN_PYTHON_GC_FREEZE": setting}
    count = int(ask(serve("site_app", "-w", "1", environment=settings).ready(), "GET", "/").content)
    assert (count > 1000) == frozen
