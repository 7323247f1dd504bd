"""The site by itself, without a server: that its pages answer and its forms write and refuse."""
import hashlib
import tempfile

from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client, TestCase, override_settings

from gates.bells import DAWN_STROKES, pause_from
from gates.models import Note, Photo
from server_dev.database import database_from

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


class SiteTest(TestCase):
    """Every page on sample data."""

    @classmethod
    def setUpTestData(cls):
        """Fills the database twice: the second time must change nothing."""
        call_command("sample_data")
        call_command("sample_data")

    def test_front_page_lists_the_gates(self):
        self.assertContains(self.client.get("/"), "숭례문")

    def test_a_note_is_written_and_its_author_remembered(self):
        response = self.client.post("/gates/sungnyemun/", {"author": "Ada", "text": "안녕 <b>"}, follow=True)
        self.assertContains(response, "안녕 &lt;b&gt;")
        self.assertContains(response, 'value="Ada"')
        self.assertFalse(Note.objects.get(author="Ada").is_keeper)

    def test_a_note_without_token_is_refused(self):
        client = Client(enforce_csrf_checks=True)
        self.assertEqual(client.post("/gates/sungnyemun/", {"author": "Ada", "text": "x"}).status_code, 403)

    def test_a_keeper_logs_in_through_the_admin(self):
        credentials = {"username": "keeper", "password": "open-the-gate", "next": "/"}
        self.assertRedirects(self.client.post("/admin/login/", credentials), "/")
        self.client.post("/gates/sungnyemun/", {"author": "Keeper", "text": "x"})
        self.assertTrue(Note.objects.get(author="Keeper").is_keeper)

    def test_uploads_keep_pictures_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as media, override_settings(MEDIA_ROOT=media):
            for content, count in ((b"<script>", 0), (PNG, 1)):
                self.client.post("/album/", {"title": "A gate", "picture": SimpleUploadedFile("gate.png", content)})
                self.assertEqual(Photo.objects.count(), count)
            self.assertEqual(Photo.objects.get().sha256, hashlib.sha256(PNG).hexdigest())

    def test_the_bell_streams(self):
        response = self.client.get("/bells/dawn.txt?pause=0")
        self.assertTrue(response.streaming)
        self.assertEqual(len(list(response)), DAWN_STROKES)
        self.assertContains(self.client.get("/bells/?pause=0"), ">33<")

    def test_environ_tells_the_request_and_no_secrets(self):
        shown = self.client.get("/environ.json?a=%20b").json()
        self.assertEqual(shown["QUERY_STRING"], "a=%20b")
        self.assertNotIn("SECRET_KEY", shown)


class InputTest(TestCase):
    """What comes from outside."""

    def test_pause_is_bounded(self):
        self.assertEqual([pause_from(text) for text in ("0", "-1", "99", "nan", "inf", "x")], [0, 0, 2, 0, 2, 0.2])

    def test_database_url(self):
        database = database_from("mysql://me:p%40ss@/site?unix_socket=/run/db.sock", None)
        self.assertEqual((database["NAME"], database["PASSWORD"]), ("site", "p@ss"))
        self.assertEqual(database["OPTIONS"]["unix_socket"], "/run/db.sock")
        self.assertIn("sqlite3", database_from(None, "x")["ENGINE"])
        with self.assertRaises(ValueError):
            database_from("oracle://x", None)
