"""A Django project in one file: a JSON view, and one of DRF that wants simplejwt's token. Run, it prints such a token."""

import os
import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for measuring alone, and long enough for any of its uses",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "rest_framework_simplejwt"],
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCH_DATABASE"]}},
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"]},
    SIMPLE_JWT={"ALGORITHM": "HS256"},
    USE_TZ=True,
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.permissions import IsAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


def view(request):
    """A few members."""
    return JsonResponse({"path": request.path, "numbers": [1, 2, 3], "secure": request.is_secure()})


class Me(APIView):
    """Who the token says."""

    permission_classes = (IsAuthenticated,)

    def get(self, request):
        """Their name."""
        return Response({"user": request.user.username})


urlpatterns = [path("json", view), path("me", Me.as_view())]
application = get_wsgi_application()

if __name__ == "__main__":
    from datetime import timedelta

    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from rest_framework_simplejwt.tokens import AccessToken

    call_command("migrate", verbosity=0)
    user, _ = get_user_model().objects.get_or_create(username="demo")
    token = AccessToken.for_user(user)
    token.set_exp(lifetime=timedelta(hours=1))
    sys.stdout.write(str(token))
