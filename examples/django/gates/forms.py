"""What visitors may send."""
import hashlib

from django import forms

from gates.models import Note, Photo

PICTURE_BYTES_MAX = 64 * 1024 * 1024
PICTURE_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")


class NoteForm(forms.ModelForm):
    """A line for the visitors' book."""

    class Meta:
        model = Note
        fields = ["author", "text"]
        widgets = {"text": forms.Textarea(attrs={"rows": 3})}


class PhotoForm(forms.ModelForm):
    """A picture for the album."""

    class Meta:
        model = Photo
        fields = ["title", "picture"]
        widgets = {"picture": forms.FileInput(attrs={"accept": "image/*"})}

    def clean_picture(self):
        """Refuses what only has a picture's name: it would be served from /media to everybody."""
        picture = self.cleaned_data["picture"]
        if picture.size > PICTURE_BYTES_MAX:
            raise forms.ValidationError("the picture is larger than 64 MB")
        digest = hashlib.sha256()
        for index, chunk in enumerate(picture.chunks()):
            if index == 0 and not chunk.startswith(PICTURE_SIGNATURES):
                raise forms.ValidationError("this is not a GIF, JPEG, PNG or WebP picture")
            digest.update(chunk)
        self.instance.sha256 = digest.hexdigest()
        return picture
