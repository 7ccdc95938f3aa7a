"""What to do about an app that could not be imported, beside its traceback."""

import os
import sys

# Nothing else before it is known that the standard library can be read.


def hint(error, module):
    """A sentence, or None; `module` is what the operator named."""
    root = module.partition(".")[0]
    if isinstance(error, (ModuleNotFoundError, PermissionError)):
        # What cannot be looked into looks as if there were nothing.
        barred = unreadable(error)
        if barred:
            return barred
    if isinstance(error, ModuleNotFoundError) and error.name:
        if "." in error.name:
            return missing_part(error.name, module)
        return missing_module(error.name, root) + not_looked_into()
    text = str(error)
    if isinstance(error, (ImportError, AttributeError)) and "partially initialized module" in text:
        return "two modules import each other: move one of the imports into the function that needs it"
    name = type(error).__name__
    # One that says why needs no guess.
    if isinstance(error, SystemExit) and not isinstance(error.code, str):
        return "the app ends its process while it is loaded: what is to run only as a program belongs under if __name__ == \"__main__\":"
    if name == "ImproperlyConfigured" and "settings are not configured" in text:
        return "name the project's settings: -e DJANGO_SETTINGS_MODULE=mysite.settings"
    if name == "AppRegistryNotReady":
        return "models are imported before Django is set up: serve the project's wsgi module, which sets it up first"
    return None


def unreadable(error):
    """What of the code the user of this process may not read, and what to do."""
    named = [error.filename] if isinstance(error, PermissionError) and isinstance(error.filename, str) else []
    # The one of the user who has started the server stands there by itself, and need not be meant.
    at_home = _home_packages()
    places = [path for path in sys.path if path != at_home]
    for barred in map(_barrier, dict.fromkeys([*named, os.getcwd(), *places])):
        if barred:
            path, verb = barred
            return (
                f"the user {_user()}, as whom the apps run (server.user), may not {verb} {path}: let that user in, or put the code and its virtual "
                "environment where everybody may read, such as /srv or /opt"
            )
    return None


def not_looked_into():
    """Where else a module could be, as the end of a sentence."""
    at_home = _home_packages()
    if at_home in sys.path and _barrier(at_home):
        return f"; {at_home} was not looked into, where the user {_user()} (server.user) may not read"
    return ""


def _home_packages():
    """The directory of `pip install --user`; None for an interpreter without one."""
    site = sys.modules.get("site")
    return site.getusersitepackages() if site else None


def _barrier(path):
    """The first directory on the way to what this process may not enter or read, and which of both; None where it may."""
    path = os.path.abspath(path)
    for directory in [path[:end] or "/" for end, letter in enumerate(path) if letter == "/"]:
        if not os.access(directory, os.X_OK):
            return (directory, "enter") if _is_barred(directory) else None
    if os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0)) or not _is_barred(path):
        return None
    return path, "read"


def _is_barred(path):
    try:
        os.stat(path)
    except PermissionError:
        return True
    except OSError:
        return False  # It is not there.
    return True


def _user():
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):
        return str(os.geteuid())


def missing_module(missing, root):
    """Where a module is that was not found, or what to do where nobody knows; `root` is the app's own."""
    if missing == root:
        return wrong_directory(missing, "--chdir") or not_there(missing)
    # The app itself is found from here.
    return wrong_directory(missing, "--pythonpath") or not_installed(missing)


def missing_part(name, module):
    """Why a package that is there has no such module; `module` is what the operator named."""
    parent, _, child = name.rpartition(".")
    import difflib
    import pkgutil

    package = sys.modules.get(parent)
    if package is None:
        return None
    if not hasattr(package, "__path__"):
        if hasattr(package, child):
            written = f"{parent}:{child}" if name == module else f"from {parent} import {child}"
            return f"{child} is in the module {parent}: write {written}"
        return f"{getattr(package, '__file__', parent)} is taken for the package {parent}: rename it, or name the module that is meant"
    places = list(package.__path__)
    near = difflib.get_close_matches(child, [module.name for module in pkgutil.iter_modules(places)], 1)
    advice = f"; there is {parent}.{near[0]}" if near else ", at least not in the version that is installed here"
    return f"the package {parent} in {', '.join(places)} has no module {child}{advice}"


def not_there(missing):
    """That nothing is called so, and what is called nearly so."""
    import difflib
    import pkgutil

    near = difflib.get_close_matches(missing, [module.name for module in pkgutil.iter_modules([os.getcwd()])], 1)
    advice = f"there is {near[0]}; or name" if near else "name"
    return f"there is no module {missing} in {os.getcwd()}, nor anywhere else on sys.path: {advice} the directory of the code by --chdir or --pythonpath"


def wrong_directory(missing, flag):
    """Where the module lies, if that is one directory up or down."""
    here = os.getcwd()
    below = sorted(entry.name for entry in os.scandir(here) if not entry.name.startswith(".") and entry.is_dir())
    for directory in [os.path.dirname(here), *(os.path.join(here, name) for name in below)]:
        module = os.path.join(directory, missing)
        if directory != here and (os.path.isfile(f"{module}.py") or os.path.isfile(os.path.join(module, "__init__.py"))):
            return f"{missing} is in {directory}: start there, or add {flag} {os.path.relpath(directory)}"
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
    if not known and hasattr(module, "__path__"):
        import pkgutil

        known = [f"{module.__name__}.{found.name}" for found in pkgutil.iter_modules(module.__path__) if found.name in ("app", "asgi", "main", "wsgi")]
    return [f"{name}()" if name.startswith(("create_", "make_")) else name for name in known]


def misfit(app, target, arguments):
    """Why a function is no app: it cannot be called with these arguments. None where it can, and for all that is no plain function."""
    import inspect

    # By the code and not by inspect.signature, which believes what decorators say of others.
    if not inspect.isfunction(app) or takes(app, len(arguments)):
        return None
    name = target if ":" in target else f"{target}:{app.__name__}"
    wrong = f"{name} cannot be called as {'an ASGI' if 'scope' in arguments else 'a WSGI'} app, with ({', '.join(arguments)})"
    if takes(app, 0):
        return f"{wrong}; if it makes the app, write {name}()"
    code = app.__code__
    return f"{wrong}: it takes ({', '.join(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])})"


def takes(function, count):
    """Whether it can be called with so many arguments."""
    import inspect

    code = function.__code__
    least = code.co_argcount - len(function.__defaults__ or ())
    is_open = count <= code.co_argcount or code.co_flags & inspect.CO_VARARGS
    return least <= count and is_open and code.co_kwonlyargcount == len(function.__kwdefaults__ or ())
