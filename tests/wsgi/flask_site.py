"""A small site in Flask: sessions, forms, templates, uploads, streams, files in parts, errors."""

import io

from flask import Blueprint, Flask, abort, flash, jsonify, redirect, render_template_string, request, send_file, session
from flask import stream_with_context, url_for

application = Flask(__name__)
application.secret_key = "not secret"
shop = Blueprint("shop", __name__, url_prefix="/shop")

PAGE = """<!doctype html><title>{{ title }}</title>
{% for text in get_flashed_messages() %}<p class=flash>{{ text }}</p>{% endfor %}
<p>Hello {{ session.name or "stranger" }}</p><a href="{{ url_for('shop.item', number=7) }}">seven</a>"""


@application.route("/")
def front():
    return render_template_string(PAGE, title="Front <&>")


@application.post("/name")
def name():
    session["name"] = request.form["name"]
    flash("You are %s now" % session["name"])
    return redirect(url_for("front"))


@shop.get("/<int:number>")
def item(number):
    return jsonify(number=number, root=request.script_root, url=request.url, address=request.remote_addr)


@application.post("/upload")
def upload():
    file = request.files["file"]
    return jsonify(name=file.filename, octets=len(file.read()), note=request.form["note"])


@application.post("/json")
def json_echo():
    return jsonify(request.get_json()["list"][::-1])


@application.get("/stream")
def stream():
    def lines():
        for number in range(3):
            yield "%d %s\n" % (number, request.args["word"])
    return application.response_class(stream_with_context(lines()), mimetype="text/plain")


@application.get("/file")
def file():
    return send_file(io.BytesIO(bytes(range(256)) * 40), mimetype="application/octet-stream", etag="own", conditional=True)


@application.get("/broken")
def broken():
    raise LookupError("broken as it should be")


@application.get("/gone")
def gone():
    abort(410)


@application.errorhandler(404)
def not_found(error):
    return "nothing at " + request.path, 404


application.register_blueprint(shop)
