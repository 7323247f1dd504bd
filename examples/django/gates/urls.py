"""The paths of the application `gates`."""
from django.urls import path

from gates import views

urlpatterns = [
    path("", views.front, name="front"),
    path("gates/<slug:slug>/", views.gate, name="gate"),
    path("album/", views.album, name="album"),
    path("bells/", views.bells, name="bells"),
    path("bells/dawn.txt", views.bells_text, name="bells_text"),
    path("environ.json", views.environ, name="environ"),
]
