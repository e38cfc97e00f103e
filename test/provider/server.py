"""The server: reads requests, keeps the count and the log, routes."""
import base64
import collections
import json
import socketserver
import ssl
import sys
import threading
import time
from http.client import responses
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, unquote, urlsplit

import faults
import lists
import records
import services
import streams
import sync
import tokens
from answers import Answer, problem

LOG_LENGTH = 10000
LOGGED_BODY = 64 * 1024  # a longer body is not kept


class Provider(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, port, token, tls=None, tls_ca=None):
        super().__init__(("127.0.0.1", port), Handler)
        self.token = token
        self.lock = threading.Lock()
        self.store = records.Store()
        self.counts = collections.Counter()
        self.log = collections.deque(maxlen=LOG_LENGTH)
        self.seen = collections.Counter()  # of /fault/once, by key
        self.delayed = self.peak = 0  # requests in /fault/delay at the same time, and their highest number
        self.jobs = {}
        self.opened = set()
        self.services = {}  # what services keep, by name
        self.scheme = "https" if tls else "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls[0], tls[1])
            if tls_ca:
                context.load_verify_locations(tls_ca)
                context.verify_mode = ssl.CERT_REQUIRED
            # The handshake belongs to the connection's own thread.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def origin(self):
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def forget(self):
        with self.lock:
            self.counts.clear()
            self.log.clear()
            self.seen.clear()
            self.peak = 0
            self.jobs.clear()
            self.opened.clear()
            self.services.clear()

    def handle_error(self, request, client_address):
        """A client that goes away is not worth a traceback; a bug here is."""
        if not isinstance(sys.exc_info()[1], (OSError, ssl.SSLError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 0

    # --- reading ---

    def setup(self):
        super().setup()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def read_request(self):
        parts = urlsplit(self.path) if self.path.startswith("/") else urlsplit("/")
        self.raw_path = self.path.split("?", 1)[0]
        self.raw_query = parts.query
        self.segments = [unquote(s) for s in self.raw_path.split("/") if s]
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.body = self.read_body()

    def json_body(self):
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise problem(400, f"the body is not JSON: {error}") from None

    def described(self):
        """The request as a JSON document."""
        try:
            text = self.body.decode()
        except UnicodeDecodeError:
            text = None
        return {
            "method": self.command,
            "path": self.raw_path,
            "query": self.raw_query,
            "args": self.query,
            "headers": {name.lower(): ", ".join(self.headers.get_all(name)) for name in self.headers},
            "header_list": [[name, value] for name, value in self.headers.items()],
            "body": text,
            "body_base64": base64.b64encode(self.body).decode(),
            "json": self.body_as_json(),
            "http": self.request_version,
        }

    def body_as_json(self):
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None

    # --- answering ---

    def send(self, status, body=b"", headers=(), content_type="application/json", length=True):
        """Sends a whole answer in one write; length=False leaves the framing to the caller."""
        head = [f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}"]
        names = {name.lower() for name, _ in headers}
        if content_type and "content-type" not in names:
            head.append(f"Content-Type: {content_type}")
        if length and status not in (204, 304) and "content-length" not in names:
            head.append(f"Content-Length: {len(body)}")
        if self.close_connection:
            head.append("Connection: close")
        head += [f"{name}: {value}" for name, value in headers]
        data = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1", "replace")
        self.wfile.write(data if self.command == "HEAD" or status in (204, 304) else data + body)

    def send_json(self, status, document, headers=()):
        self.send(status, json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"), headers)

    # --- routing ---

    def handle_request(self):
        try:
            self.read_request()
            self.count()
            self.route()
        except Answer as answer:
            self.send_json(answer.status, answer.document, answer.headers)
        except (BrokenPipeError, ConnectionError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_request

    def count(self):
        if self.segments[:1] and self.segments[0] in ("count", "log", "peak", "reset"):
            return
        with self.server.lock:
            self.server.counts[self.raw_path] += 1
            entry = self.described() | {"at": time.monotonic()}
            if len(self.body) > LOGGED_BODY:
                entry.update(body=None, body_base64=None, json=None)
            self.server.log.append(entry)

    def route(self):
        first = self.segments[0] if self.segments else ""
        if first == "fault":
            name = self.segments[1] if len(self.segments) > 1 else ""
            if faults.apply(self, name):
                return
            raise Answer(200, {"ok": True})
        if "_fault" in self.query and faults.apply(self, self.query["_fault"]):
            return
        control = {"echo": self.route_echo, "count": self.route_count, "log": self.route_log, "peak": self.route_peak,
                   "reset": self.route_reset, "auth": self.route_auth, "lists": lambda: lists.route(self),
                   "streams": lambda: streams.route(self), "sync": lambda: sync.route(self)}.get(first)
        if control:
            control()
        elif first in services.ROUTES:
            services.ROUTES[first](self)
        elif first == "v1":
            self.require_token()
            records.route(self)
        elif first == "":
            raise Answer(200, {"service": "integ test provider", "collections": sorted(self.server.store.names())})
        else:
            raise problem(404, f"there is no {self.raw_path}")

    def route_echo(self):
        self.send_json(200, self.described())

    def route_count(self):
        with self.server.lock:
            counts = dict(self.server.counts)
            if self.command in ("DELETE", "POST"):
                self.server.counts.clear()
        if "path" in self.query:
            self.send_json(200, counts.get(self.query["path"], 0))
        else:
            self.send_json(200, counts)

    def route_log(self):
        with self.server.lock:
            log = list(self.server.log)
            if self.command in ("DELETE", "POST"):
                self.server.log.clear()
        self.send_json(200, log)

    def route_peak(self):
        with self.server.lock:
            peak = self.server.peak
        self.send_json(200, peak)

    def route_reset(self):
        self.server.forget()
        self.server.store.restore()
        self.send_json(200, {"ok": True})

    def require_token(self):
        shown = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.server.token and shown != self.server.token and not tokens.issued(self.server, shown):
            raise Answer(401, {"error": {"code": 401, "message": "the bearer token is missing or wrong"}},
                         [("WWW-Authenticate", 'Bearer realm="provider"')])

    def route_auth(self):
        """200 where the token came in exactly the way the path names, else 401."""
        token = self.server.token
        kind = self.segments[1] if len(self.segments) > 1 else ""
        authorization = self.headers.get("Authorization", "")
        given = {
            "bearer": authorization == f"Bearer {token}",
            "basic": authorization.startswith("Basic ") and self.basic_password(authorization) == token,
            "header": self.headers.get("X-Api-Key") == token,
            "query": self.query.get("api_key") == token,
        }
        if kind not in given:
            raise problem(404, "there are /auth/bearer, basic, header and query")
        ways = sorted(way for way, ok in given.items() if ok)
        if not given[kind]:
            raise problem(401, f"this path wants the token by {kind}")
        raise Answer(200, {"authenticated": kind, "ways": ways})

    @staticmethod
    def basic_password(authorization):
        try:
            return base64.b64decode(authorization[6:], validate=True).decode().partition(":")[2]
        except ValueError:
            return None

    def log_message(self, format, *args):
        """Nothing on stderr: /log has it."""
