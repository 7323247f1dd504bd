"""The pages of the site, one function each."""
from django.contrib import messages
from django.http import JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_http_methods, require_safe

from gates.bells import DAWN_STROKES, pause_from, strokes
from gates.forms import NoteForm, PhotoForm
from gates.models import Gate, Note, Photo

# What a page may tell about the server. Never the whole environ: it holds the process's secrets.
ENVIRON_SHOWN = (
    "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "REQUEST_URI",
    "REQUEST_SCHEME", "SERVER_PROTOCOL", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "HTTP_HOST", "HTTP_USER_AGENT",
    "wsgi.url_scheme", "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once",
)


@require_safe
def front(request):
    """All gates and the newest lines of the visitors' book."""
    notes = Note.objects.select_related("gate")[:4]
    return render(request, "gates/front.html", {"gates": Gate.objects.all(), "notes": notes})


@require_http_methods(["GET", "HEAD", "POST"])
def gate(request, slug):
    """One gate, its lines in the visitors' book, and the form that adds one."""
    gate = get_object_or_404(Gate, slug=slug)
    form = NoteForm(request.POST or None, initial={"author": request.session.get("author", "")})
    if request.method == "POST" and form.is_valid():
        form.instance.gate = gate
        form.instance.is_keeper = request.user.is_authenticated
        form.save()
        request.session["author"] = form.instance.author
        messages.success(request, f"Thank you, {form.instance.author}: your line is in the book.")
        return redirect(gate)
    return render(request, "gates/gate.html", {"gate": gate, "form": form, "notes": gate.notes.all()[:50]})


@require_http_methods(["GET", "HEAD", "POST"])
def album(request):
    """The uploaded pictures and the form that adds one."""
    form = PhotoForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, f"“{form.instance.title}” hangs in the album.")
        return redirect("album")
    return render(request, "gates/album.html", {"form": form, "photos": Photo.objects.all()[:48]})


@require_safe
def bells(request):
    """A page that arrives stroke by stroke, without a line of JavaScript."""
    head, tail = render_to_string("gates/bells.html", request=request).split("<!-- strokes -->")

    def page():
        yield head
        for number in strokes(DAWN_STROKES, pause_from(request.GET.get("pause", ""))):
            yield f'<li><span class="stroke">{number}</span></li>\n'
        yield tail

    return StreamingHttpResponse(page())


@require_safe
def bells_text(request):
    """The same as plain text, one line per stroke: `curl -N` shows each as it is struck."""
    pause_seconds = pause_from(request.GET.get("pause", ""))
    lines = (f"stroke {number} of {DAWN_STROKES}\n" for number in strokes(DAWN_STROKES, pause_seconds))
    return StreamingHttpResponse(lines, content_type="text/plain; charset=utf-8")


@require_safe
def environ(request):
    """What the application server told the application about this request."""
    shown = {name: request.META[name] for name in ENVIRON_SHOWN if name in request.META}
    return JsonResponse(shown, json_dumps_params={"indent": 2, "ensure_ascii": False})
