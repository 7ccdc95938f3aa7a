"""A Django site with a middleware and a DRF view that trust tokens, by WSGI and ASGI; and a dependency that does.

It is a module of settings and urls at once.
"""

import os
from pathlib import Path

import django
from django.conf import settings

HERE = Path(os.environ["TEST_SITE"])

if not settings.configured:
    settings.configure(
        SECRET_KEY="for tests alone",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(HERE / "db.sqlite3")}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "rest_framework", "ferricorn"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "ferricorn.django.JWTMiddleware",
        ],
        REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["ferricorn.rest_framework.JWTAuthentication"]},
        FERRICORN={"CONFIG": HERE / "ferricorn.toml"},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.permissions import IsAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.responses import JSONResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

from ferricorn.starlette import Bearer  # noqa: E402


def plain(request):
    """What the middleware has found."""
    claims = request.jwt and dict(request.jwt["claims"])
    return JsonResponse({"claims": claims, "user": request.user.get_username(), "server": "ferricorn.jwt" in request.META})


class Protected(APIView):
    """What the authentication class has found."""

    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response({"user": request.user.username, "kid": request.auth["kid"], "provider": request.auth["provider"]})


urlpatterns = [path("", plain), path("protected", Protected.as_view())]
application = get_wsgi_application()
asgi = get_asgi_application()


async def show(request):
    """What the dependency has found."""
    token = await Bearer(required=False, config=HERE / "ferricorn.toml")(request)
    return JSONResponse({"claims": token and dict(token["claims"])})


dependency = Starlette(routes=[Route("/", show)])
