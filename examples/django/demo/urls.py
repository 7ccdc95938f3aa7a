"""URLs of the demo project. Who may pass where is said in ferricorn.toml as well."""

from django.contrib import admin
from django.urls import include, path
from rest_framework.routers import DefaultRouter
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from notes import views

router = DefaultRouter()
router.register("notes", views.NoteViewSet, basename="note")

urlpatterns = [
    path("", views.home),
    path("whoami", views.whoami),
    path("admin/", admin.site.urls),
    path("api/token/", TokenObtainPairView.as_view()),
    path("api/token/refresh/", TokenRefreshView.as_view()),
    path("api/me", views.Me.as_view()),
    path("api/upload", views.Upload.as_view()),
    path("api/stream", views.Stream.as_view()),
    path("api/echo", views.Echo.as_view()),
    path("api/", include(router.urls)),
]
