"""A small service in Falcon: media, errors, hooks, streams."""

import io

import falcon


class Items:
    items = {}

    def on_get(self, request, response, number):
        if number not in self.items:
            raise falcon.HTTPNotFound(title="no such item", description=str(number))
        response.media = self.items[number]
        response.etag = "v%d" % number

    def on_put(self, request, response, number):
        self.items[number] = request.get_media()
        response.status = falcon.HTTP_201
        response.location = request.relative_uri

    def on_delete(self, request, response, number):
        del self.items[number]
        response.status = falcon.HTTP_204


class Stream:
    def on_get(self, request, response):
        response.set_stream(io.BytesIO(b"0123456789" * 10_000), 100_000)

    def on_post(self, request, response):
        octets = sum(len(block) for block in iter(lambda: request.bounded_stream.read(8192), b""))
        response.text = "%d of %d" % (octets, request.content_length)


class Broken:
    def on_get(self, request, response):
        raise LookupError("broken as it should be")


def caught(request, response, error, parameters):
    raise falcon.HTTPServiceUnavailable(title=str(error), retry_after=7)


application = falcon.App()
application.add_route("/items/{number:int}", Items())
application.add_route("/stream", Stream())
application.add_route("/broken", Broken())
application.add_error_handler(LookupError, caught)
