"""What to do about an app that could not be imported, beside its traceback."""

import os
import sys


def hint(error, module):
    """A sentence, or None; `module` is what the operator named."""
    root = module.partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and error.name:
        missing = error.name.partition(".")[0]
        if missing == root and error.name == module:
            return wrong_directory(missing) or (
                f"there is no module {missing} in {os.getcwd()}, nor anywhere else on sys.path: name the directory of the code by "
                "--chdir or --pythonpath"
            )
        return wrong_directory(missing) or not_installed(missing)
    text = str(error)
    if isinstance(error, (ImportError, AttributeError)) and "partially initialized module" in text:
        return "two modules import each other: move one of the imports into the function that needs it"
    name = type(error).__name__
    if name == "ImproperlyConfigured" and "settings are not configured" in text:
        return "name the project's settings: -e DJANGO_SETTINGS_MODULE=mysite.settings"
    if name == "AppRegistryNotReady":
        return "models are imported before Django is set up: serve the project's wsgi module, which sets it up first"
    return None


def wrong_directory(missing):
    """Where the module lies, if that is one directory up or down."""
    here = os.getcwd()
    below = sorted(entry.name for entry in os.scandir(here) if entry.is_dir() and not entry.name.startswith("."))
    for directory in [os.path.dirname(here), *(os.path.join(here, name) for name in below)]:
        module = os.path.join(directory, missing)
        if directory != here and (os.path.isfile(f"{module}.py") or os.path.isfile(os.path.join(module, "__init__.py"))):
            return f"{missing} is in {directory}: start there, or add --chdir {os.path.relpath(directory)}"
    return None


def not_installed(missing):
    """Which environment lacks it, and what to do."""
    advice = f"{missing} is not installed for {sys.executable}"
    for name in (".venv", "venv", "env"):
        other = os.path.join(os.getcwd(), name)
        if os.path.isfile(os.path.join(other, "pyvenv.cfg")) and os.path.realpath(other) != os.path.realpath(sys.prefix):
            return f"{advice}; there is a virtual environment in {other}: install ferricorn there, and start its bin/ferricorn"
    requirements = next((name for name in ("requirements.txt", "pyproject.toml") if os.path.isfile(name)), None)
    install = {"requirements.txt": " -r requirements.txt", "pyproject.toml": " ."}.get(requirements, f" {missing}")
    return f"{advice}: `{sys.executable} -m pip install{install}`, or start ferricorn from the site's own virtual environment"


def callables(module):
    """What a module has that could be meant, as the operator would write it."""
    known = [name for name in ("application", "app", "create_app", "make_app", "wsgi", "asgi") if callable(getattr(module, name, None))]
    return [f"{name}()" if name.startswith(("create_", "make_")) else name for name in known]
