# Run by `ferricorn systemd`: MODULE [DIRECTORY...]. Prints one JSON object: the directories a Django project writes to.
import json
import os
import sys

# What the app prints must not be taken for the answer.
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def directories():
    """Pairs of what is written and where."""
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        raise LookupError
    settings = conf.settings
    for alias, database in (getattr(settings, "DATABASES", None) or {}).items():
        name = str(database.get("NAME") or "")
        # SQLite makes files beside the database: its journal, or the write-ahead log.
        if "sqlite" in str(database.get("ENGINE")) or "spatialite" in str(database.get("ENGINE")):
            if name and ":memory:" not in name and not name.startswith("file:"):
                yield "DATABASES[%r]" % alias, os.path.dirname(os.path.abspath(name))
    for name in ("MEDIA_ROOT", "FILE_UPLOAD_TEMP_DIR", "SESSION_FILE_PATH", "EMAIL_FILE_PATH"):
        if getattr(settings, name, None):
            yield name, os.path.abspath(str(getattr(settings, name)))
    for alias, cache in (getattr(settings, "CACHES", None) or {}).items():
        if str(cache.get("BACKEND")).endswith("FileBasedCache") and cache.get("LOCATION"):
            yield "CACHES[%r]" % alias, os.path.abspath(str(cache["LOCATION"]))
    for name, handler in ((getattr(settings, "LOGGING", None) or {}).get("handlers") or {}).items():
        if handler.get("filename"):
            yield "LOGGING handler %r" % name, os.path.dirname(os.path.abspath(str(handler["filename"])))


try:
    # As the server has it: the working directory first, then those of python.path.
    sys.path[:0] = [os.getcwd()] + sys.argv[2:]
    __import__(sys.argv[1])
    found = {"writes": list(directories())}
except LookupError as error:
    found = {"error": "it is no Django project" if not error.args else "%s: %s" % (type(error).__name__, error)}
except BaseException as error:
    found = {"error": "%s: %s" % (type(error).__name__, error)}
json.dump(found, answer)
answer.flush()
os._exit(0)
