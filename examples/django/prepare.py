#!/usr/bin/env python
"""Everything this project needs before it is served; a second run changes nothing.

Secrets, the SQLite database, the user ``demo``, the collected static files. With
``--print-commands URL`` it then says what to open and what to try.
"""

import argparse
import os
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def ensure_secret(name, make):
    """The secret in ``secret/NAME``; made once, readable by its owner only."""
    path = HERE / "secret" / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").rstrip("\n")
    value = make()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(value + "\n")
    return value


def prepare():
    """Makes what is missing; the demo user's password."""
    ensure_secret("django.key", lambda: secrets.token_urlsafe(50))
    # HS256 wants at least 32 bytes (RFC 7518 3.2).
    ensure_secret("jwt.key", lambda: secrets.token_urlsafe(48))
    password = ensure_secret("demo.password", lambda: secrets.token_hex(6))

    sys.path.insert(0, str(HERE))
    os.environ["DJANGO_SETTINGS_MODULE"] = "demo.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)

    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    if not users.filter(username="demo").exists():
        users.create_superuser("demo", "demo@localhost", password)
    return password


def commands(url, password):
    """What to open and what to paste, one a line."""
    obtain = f"curl -s -d username=demo -d password={password} {url}/api/token/"
    access = r"""sed 's/.*"access":"\([^"]*\)".*/\1/'"""
    return [
        f"open     {url}/admin/  (user demo, password {password})",
        "a token, a protected view with it, and without a good one:",
        obtain,
        f'curl -si -H "Authorization: Bearer $({obtain} | {access})" {url}/api/me',
        f'curl -si -H "Authorization: Bearer forged" {url}/api/me',
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="prepare the demo project")
    parser.add_argument("--print-commands", metavar="URL")
    arguments = parser.parse_args()
    password = prepare()
    if arguments.print_commands:
        print("\n".join(commands(arguments.print_commands, password)), flush=True)
