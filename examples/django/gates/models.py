"""What the site stores."""
from django.core.validators import FileExtensionValidator
from django.db import models
from django.urls import reverse


class Gate(models.Model):
    """One of the eight gates in the old city wall."""

    name = models.CharField(max_length=40)
    hangul = models.CharField(max_length=20)
    slug = models.SlugField(unique=True)
    meaning = models.CharField(max_length=80)
    side = models.CharField(max_length=12)
    is_great = models.BooleanField("one of the four great gates")
    is_standing = models.BooleanField()
    built = models.PositiveSmallIntegerField()
    story = models.TextField()

    class Meta:
        ordering = ["-is_great", "id"]

    def __str__(self):
        return f"{self.name} {self.hangul}"

    def get_absolute_url(self):
        """The page of this gate."""
        return reverse("gate", args=[self.slug])


class Note(models.Model):
    """A line in the visitors' book."""

    gate = models.ForeignKey(Gate, on_delete=models.CASCADE, related_name="notes")
    author = models.CharField("your name", max_length=40)
    text = models.CharField("your line", max_length=280)
    is_keeper = models.BooleanField("written by a logged-in keeper", default=False)
    written_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-written_at", "-id"]

    def __str__(self):
        return f"{self.author}: {self.text[:40]}"


class Photo(models.Model):
    """An uploaded picture."""

    title = models.CharField(max_length=80)
    picture = models.FileField(
        upload_to="album",
        validators=[FileExtensionValidator(["gif", "jpeg", "jpg", "png", "webp"])],
    )
    sha256 = models.CharField("SHA-256", max_length=64, editable=False)
    uploaded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-uploaded_at", "-id"]

    def __str__(self):
        return self.title
