"""Notes in the admin."""

from django.contrib import admin

from notes.models import Note


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    """Notes of all users."""

    list_display = ["title", "owner", "created"]
    list_filter = ["owner"]
    search_fields = ["title", "text"]
