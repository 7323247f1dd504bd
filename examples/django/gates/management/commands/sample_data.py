"""`manage.py sample_data`: fills an empty database, and leaves one with content alone."""
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction

from gates.models import Gate, Note
from gates.sample import GATES, KEEPER, NOTES


class Command(BaseCommand):
    """Writes the eight gates, a few lines of the visitors' book and one keeper who may log in at /admin/."""

    help = __doc__

    @transaction.atomic
    def handle(self, **options):
        """Does nothing where there already is a gate, a user."""
        if not Gate.objects.exists():
            gates = {}
            for fields in GATES:
                gates[fields["slug"]] = Gate.objects.create(**fields)
            for slug, author, text in NOTES:
                Note.objects.create(gate=gates[slug], author=author, text=text)
        users = get_user_model().objects
        if not users.exists():
            users.create_superuser(**KEEPER)
