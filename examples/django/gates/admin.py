"""The keepers' side of the site, at /admin/."""
from django.contrib import admin

from gates.models import Gate, Note, Photo

admin.site.site_header = admin.site.site_title = "Gates of Seoul: keepers"


@admin.register(Gate)
class GateAdmin(admin.ModelAdmin):
    """Gates."""

    list_display = ["name", "hangul", "side", "built", "is_great", "is_standing"]
    prepopulated_fields = {"slug": ["name"]}


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    """Lines of the visitors' book."""

    list_display = ["author", "gate", "text", "is_keeper", "written_at"]
    list_filter = ["gate", "is_keeper"]
    search_fields = ["author", "text"]


@admin.register(Photo)
class PhotoAdmin(admin.ModelAdmin):
    """Pictures of the album."""

    list_display = ["title", "picture", "uploaded_at"]
    readonly_fields = ["sha256"]
