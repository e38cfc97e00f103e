"""How a request ends early: by an exception that carries the answer."""


class Answer(Exception):
    """Ends a request with a status and a JSON document."""

    def __init__(self, status, document, headers=()):
        super().__init__(status)
        self.status = status
        self.document = document
        self.headers = headers


def problem(status, message):
    return Answer(status, {"error": {"code": status, "message": message}})
