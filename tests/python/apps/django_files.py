"""Django's FileResponse, over a file on disk, over memory, and over one of Django's own files."""

import io
import os

import gates
from django.conf import settings
from django.core.files import File
from django.core.signals import request_finished
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of a test", DEBUG=False)


class Watched(FileResponse):
    """Says when the server has closed it."""

    def close(self):
        super().close()
        gates.say("response closed")


def on_disk(request):
    return Watched(open(os.environ["TEST_FILE"], "rb"), as_attachment=True, filename="a b.txt")


def in_memory(request):
    return Watched(io.BytesIO(b"in memory"), content_type="text/plain")


def of_django(request):
    return Watched(File(open(os.environ["TEST_FILE"], "rb")), content_type="text/plain")


urlpatterns = [path("on_disk", on_disk), path("in_memory", in_memory), path("of_django", of_django)]


def finished(sender, **_):
    """Sent when Django takes the request for over."""
    gates.say("request finished")


request_finished.connect(finished)
application = get_wsgi_application()
