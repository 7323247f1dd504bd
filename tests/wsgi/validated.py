"""The application of the comparison behind wsgiref's validator, which raises AssertionError at every breach of PEP 3333."""

from wsgiref.validate import validator

import compare


def sized_reads(environ, start_response):
    """The validator wants every read to name a size."""
    environ["wsgi.input"] = SizedReads(environ["wsgi.input"])
    return compare.application(environ, start_response)


class SizedReads:
    def __init__(self, source):
        self.source = source

    def read(self, size=None):
        if size is not None:
            return self.source.read(size)
        pieces = []
        while not pieces or pieces[-1]:
            pieces.append(self.source.read(65536))
        return b"".join(pieces)


application = validator(sized_reads)
