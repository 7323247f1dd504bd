"""A small site in Bottle: templates, forms, signed cookies, files, generators, errors."""

import os

import bottle

application = bottle.Bottle()


@application.get("/")
def front():
    name = bottle.request.get_cookie("name", secret="not secret") or "stranger"
    return bottle.template("Hello {{name}}, {{!mark}}", name=name, mark="<b>")


@application.post("/name")
def name():
    bottle.response.set_cookie("name", bottle.request.forms.getunicode("name"), secret="not secret")
    bottle.redirect("/")


@application.get("/item/<number:int>")
def item(number):
    return {"number": number, "query": bottle.request.query.getunicode("q")}


@application.get("/files/<path:path>")
def files(path):
    return bottle.static_file(path, root=os.environ["FILES"])


@application.get("/lines")
def lines():
    bottle.response.content_type = "text/plain"
    for number in range(3):
        yield "%d\n" % number


@application.get("/broken")
def broken():
    raise LookupError("broken as it should be")


@application.error(404)
def not_found(error):
    return "nothing at " + bottle.request.path
