"""A small site in Pyramid, made by PasteDeploy: routes, sessions with their token, JSON, an exception's view."""

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory


def front(request):
    name = request.session.get("name", "stranger")
    return Response("%s, %s, from %s; %s" % (request.registry.settings["greeting"], name, request.client_addr, request.session.get_csrf_token()))


def name(request):
    request.session["name"] = request.POST["name"]
    return HTTPFound(request.route_url("front"))


def item(request):
    return {"number": int(request.matchdict["number"]), "path": request.path, "query": dict(request.GET)}


def broken(request):
    raise LookupError("broken as it should be")


def failed(error, request):
    return Response("caught: %s" % error, status=500)


def main(global_config, **settings):
    config = Configurator(settings=settings, session_factory=SignedCookieSessionFactory("not secret"))
    config.set_default_csrf_options(require_csrf=True)
    config.add_route("front", "/")
    config.add_route("name", "/name")
    config.add_route("item", "/item/{number}")
    config.add_route("broken", "/broken")
    config.add_view(front, route_name="front")
    config.add_view(name, route_name="name", request_method="POST")
    config.add_view(item, route_name="item", renderer="json")
    config.add_view(broken, route_name="broken")
    config.add_exception_view(failed, context=LookupError)
    return config.make_wsgi_app()
