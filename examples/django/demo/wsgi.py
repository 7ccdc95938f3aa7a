"""The WSGI app: ``demo.wsgi:application`` in ferricorn.toml."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")
application = get_wsgi_application()
