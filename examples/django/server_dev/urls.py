"""Which view answers which path. /static and /media never get here: the web server sends them from disk."""
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("gates.urls")),
]
