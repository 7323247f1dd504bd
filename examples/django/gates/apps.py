"""The application `gates`: the city gates of Seoul, their visitors' book and their album."""
from django.apps import AppConfig


class GatesConfig(AppConfig):
    """Registers the application."""

    name = "gates"
    verbose_name = "Gates of Seoul"
