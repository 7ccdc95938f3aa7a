"""The app of notes."""

from django.apps import AppConfig


class NotesConfig(AppConfig):
    """Short texts that belong to users."""

    name = "notes"
    default_auto_field = "django.db.models.BigAutoField"
