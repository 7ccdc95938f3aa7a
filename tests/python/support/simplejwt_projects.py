"""Projects with djangorestframework-simplejwt, and what is meant to differ where the server issues in their place."""

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jwt

THEIRS, OURS = "/theirs/token/", "/ours/token/"
KEY = "a key of thirty-two bytes, shared by both!"

# One file is the whole project; as a program it makes the database and the section of the configuration.
PROGRAM = '''
import datetime, os, sys
import django
from django.conf import settings

HERE = os.path.dirname(os.path.abspath(__file__))
SIMPLE_JWT = {
    "SIGNING_KEY": open(os.path.join(HERE, "signing.key")).read(),
    "ACCESS_TOKEN_LIFETIME": datetime.timedelta(minutes=5), "REFRESH_TOKEN_LIFETIME": datetime.timedelta(days=1),
}
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "rest_framework_simplejwt", "ferricorn",
]
OTHER = {}
# -- what makes this project another one
if SIMPLE_JWT.get("ALGORITHM") == "RS256":
    SIMPLE_JWT["VERIFYING_KEY"] = open(os.path.join(HERE, "verifying.key")).read()
settings.configure(
    SECRET_KEY="k" * 50,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="project",
    INSTALLED_APPS=INSTALLED_APPS,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(HERE, "db.sqlite3")}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    # Tables as the models have them, at once.
    MIGRATION_MODULES={name: None for name in ("auth", "contenttypes", "token_blacklist")},
    PASSWORD_HASHERS=["project.QuickHasher"],
    REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
    SIMPLE_JWT=SIMPLE_JWT,
    USE_TZ=True,
    # What the views do with an unexpected error is one of the differences.
    LOGGING_CONFIG=None,
    **OTHER,
)
from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    iterations = 1000


django.setup()
from django.contrib.auth import get_user_model
from django.core.wsgi import get_wsgi_application
from django.urls import path
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework_simplejwt import views
from rest_framework_simplejwt.authentication import JWTAuthentication


@api_view()
@authentication_classes([JWTAuthentication])
@permission_classes([IsAuthenticated])
def whoami(request):
    return Response({"user": request.user.get_username()})


urlpatterns = [
    path("theirs/token/", views.TokenObtainPairView.as_view()),
    path("theirs/token/refresh/", views.TokenRefreshView.as_view()),
    path("theirs/token/verify/", views.TokenVerifyView.as_view()),
    path("theirs/token/blacklist/", views.TokenBlacklistView.as_view()),
    path("theirs/whoami/", whoami),
]
application = get_wsgi_application()

if __name__ == "__main__":
    sys.modules["project"] = sys.modules["__main__"]
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    model = get_user_model()
    for name, active in (("demo", True), ("away", False)):
        name = name + "@site.example" if model.USERNAME_FIELD == "email" else name
        user = model(**{model.USERNAME_FIELD: name}, is_active=active)
        user.set_password("correct horse")
        user.save()
    with open("section.toml", "w") as section:
        call_command("ferricorn_jwt", stdout=section)
'''

# A user model as projects have them whose users log in by their addresses.
PEOPLE = '''
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class Person(AbstractBaseUser):
    number = models.CharField(max_length=20, primary_key=True, default="n/1 \\u00e9", db_column="nr")
    email = models.EmailField(unique=True, db_column="e_mail")
    is_active = models.BooleanField(default=True, db_column="active")
    USERNAME_FIELD = "email"
    objects = BaseUserManager()

    class Meta:
        db_table = "all_people"

    def save(self, *arguments, **more):
        self.number = f"n/{'demo away'.split().index(self.email[:4]) + 1} \\u00e9"
        super().save(*arguments, **more)
'''

CONFIG = f"""
[[app]]
target = "project:application"
[auth.store]
url = "sqlite:///sessions.db"
[[auth.route]]
prefix = "/theirs/"
require = "none"
"""
# What the section does not say, since it is another server's, or the place is taken by the project's own.
# With a long grace the answers do not depend on how long the requests before them have taken.
OF_THE_SECTION = f"""[auth.issue]
prefix = "{OURS}"
reuse_grace = "5m"
limit = {{ per_account = "1000/1m", per_ip = "1000/1m" }}
"""


class Project(NamedTuple):
    """One project, by what makes it differ from the plainest one."""

    changes: str
    # Beyond `simplejwt.MEANT`: the name of a request, and why it is answered differently.
    meant: dict = {}
    # Of `simplejwt.MEANT`, what is answered alike.
    alike: tuple = ()
    login: str = "username"
    name: str = "demo"
    away: str = "away"
    ids: tuple = ("1", "2", "77")
    user_claim: str = "user_id"
    type_claim: str = "token_type"
    scheme: str = "Bearer"
    algorithm: str = "HS256"
    always: dict = {}

    def keys(self):
        """The key that signs and the one that verifies, as the project has them."""
        if self.algorithm == "HS256":
            return KEY, KEY
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        return private.decode(), public.decode()

    def prepare(self, directory):
        """Makes the project, its database and the configuration in an empty directory."""
        folder = Path(directory)
        signing, verifying = self.keys()
        for file, text in (("signing.key", signing), ("verifying.key", verifying)):
            (folder / file).write_text(text)
        (folder / "project.py").write_text(PROGRAM.replace("# -- what makes this project another one", self.changes))
        (folder / "people").mkdir()
        (folder / "people/__init__.py").write_text("")
        (folder / "people/models.py").write_text(PEOPLE)
        subprocess.run([sys.executable, "project.py"], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        section = (folder / "section.toml").read_text()
        (folder / "ferricorn.toml").write_text(CONFIG + section.replace("[auth.issue]\n", OF_THE_SECTION))

    def signer(self, directory):
        """Signs claims, or a payload as it is, by the key that both have."""
        key = (Path(directory) / "signing.key").read_text()

        def sign(payload, header=None):
            if isinstance(payload, str):
                return jwt.api_jws.encode(payload.encode(), key, self.algorithm)
            return jwt.encode(payload, key, self.algorithm, header)

        return sign

    def claims(self, **claims):
        """The claims of a refresh token; ``None`` leaves one out."""
        now = int(time.time())
        plain = {self.type_claim: "refresh", "exp": now + 600, "iat": now, "jti": f"made{time.monotonic_ns()}", self.user_claim: self.ids[0]}
        renamed = {{"token_type": self.type_claim, "user_id": self.user_claim}.get(name, name): value for name, value in claims.items()}
        return {name: value for name, value in {**plain, **self.always, **renamed}.items() if value is not None}


BLACKLISTED = "INSTALLED_APPS.append('rest_framework_simplejwt.token_blacklist')\n"
NO_BLACKLIST = "without its blacklist simplejwt revokes nothing; here the session has ended"
PROJECTS = {
    "rotation and blacklist": Project(BLACKLISTED + "SIMPLE_JWT.update(ROTATE_REFRESH_TOKENS=True, BLACKLIST_AFTER_ROTATION=True)"),
    "rotation without blacklist": Project(
        "SIMPLE_JWT.update(ROTATE_REFRESH_TOKENS=True)",
        meant={"refresh: a token that was revoked": NO_BLACKLIST, "blacklist: a token that was revoked": NO_BLACKLIST},
        alike=("refresh: no jti", "refresh: a token that was replaced"),
    ),
    "no rotation": Project(BLACKLISTED, alike=("refresh: a token that was replaced", "verify: a token that was replaced")),
    "other names": Project(
        BLACKLISTED + "INSTALLED_APPS.append('people')\nOTHER['AUTH_USER_MODEL'] = 'people.Person'\nSIMPLE_JWT.update(\n"
        "    USER_ID_CLAIM='sub', USER_ID_FIELD='number', AUTH_HEADER_TYPES=('JWT', 'Bearer'), ALGORITHM='RS256',\n"
        "    AUDIENCE=['site', 'other'], ISSUER='https://site.example', LEEWAY=5,\n)",
        login="email", name="demo@site.example", away="away@site.example", ids=("n/1 \u00e9", "n/2 \u00e9", "n/77 \u00e9"),
        alike=(
            "refresh: user that is a list", "refresh: user as a number", "refresh: another issuer", "refresh: an audience that nobody asked for",
            "verify: an audience that nobody asked for", "refresh: a token that was replaced", "verify: a token that was replaced",
        ),
        user_claim="sub", scheme="JWT", algorithm="RS256", always={"aud": "other", "iss": "https://site.example"},
    ),
}
