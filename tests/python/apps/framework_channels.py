"""Channels: Django's views and consumers of WebSockets in one app."""

import django
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["channels"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()


def plain(request):
    return HttpResponse(f"plain {request.path} {request.META.get('SCRIPT_NAME', '')}")


async def asynchronous(request):
    from django.db import connection

    def one():
        with connection.cursor() as cursor:
            cursor.execute("select 1")
            return cursor.fetchone()[0]

    return JsonResponse({"body": len(request.body), "one": await database_sync_to_async(one)()})


async def stream(request):
    async def pieces():
        for number in range(5):
            yield f"{number}\n"

    return StreamingHttpResponse(pieces(), content_type="text/plain")


class Group(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("all", self.channel_name)
        await self.accept()

    async def receive_json(self, content):
        await self.channel_layer.group_send("all", {"type": "told", "content": content})

    async def told(self, event):
        await self.send_json(event["content"])


class Synchronous(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=text_data.upper())




urlpatterns = [path("plain", plain), path("async", asynchronous), path("stream", stream)]

application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("group", Group.as_asgi()), path("sync", Synchronous.as_asgi())]),
    }
)
