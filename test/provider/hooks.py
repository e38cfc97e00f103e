"""Webhooks that a service registers, and a source that is polled.

    POST   /hooks/NAME            registers {"url", "events", "secret", "lifetime"}; 201 {"id", "url", "events", "ends"}
           ?handshake=1           calls the url first, with ?challenge=…, and wants it back, else 400
           ?tells=1               makes the secret itself, and tells it in the answer
           ?lose=N                the first N registrations are made, and answered by a reset connection
    GET    /hooks/NAME?page=N     what is registered, two a page: {"hooks", "more"}
    GET    /hooks/NAME/ID         one of them; 404 for one that is gone
    PATCH  /hooks/NAME/ID         {"lifetime"} or {"secret"} of one; ?refuse=1: 503
    DELETE /hooks/NAME/ID         204
    GET    /hookbook/NAME         all of them, secrets included, also those that were removed; for tests
    DELETE /hookbook/NAME/ID      one is forgotten, as if somebody had removed it at the service

    POST   /feed/NAME             adds records (a list); DELETE forgets them
    GET    /feed/NAME?since=&page=N&size=N      .items, .more; records changed at or after since
           order=reverse          newest first;  repeat=1: each page begins with the last record of the one before
           fail=N                 the first N requests are answered with 503
    GET    /feed/NAME/delta?token=     .items since the token, .token; token=old: 410
"""
import json
import secrets
import socket
import struct
import time
import urllib.error
import urllib.request

from answers import Answer, problem


class Book:
    """What one service has registered."""

    def __init__(self):
        self.hooks = {}
        self.removed = []
        self.lost = 0
        self.last = 0


def book(handler, name):
    with handler.server.lock:
        return handler.server.services.setdefault(("hooks", name), Book())


def shown(hook):
    return {key: value for key, value in hook.items() if key != "secret"}


def proves_itself(url):
    """As services do before they accept an address: it is asked while the registration waits."""
    challenge = secrets.token_hex(8)
    try:
        with urllib.request.urlopen(f"{url}?challenge={challenge}", timeout=10) as answer:
            return answer.status == 200 and answer.read().decode() == challenge
    except (urllib.error.URLError, OSError):
        return False


def reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
    raise ConnectionError


def ends(lifetime):
    return int((time.time() + float(lifetime)) * 1000) if lifetime else None


def register(handler, mine):
    body = handler.json_body()
    if "handshake" in handler.query and not proves_itself(body["url"]):
        raise problem(400, "the address does not answer the challenge")
    with handler.server.lock:
        mine.last += 1
        hook = {"id": str(mine.last), "url": body["url"], "events": body.get("events", []),
                "secret": secrets.token_hex(16) if "tells" in handler.query else body.get("secret"),
                "ends": ends(body.get("lifetime")), "channel": body.get("channel")}
        mine.hooks[hook["id"]] = hook
        lost = mine.lost < int(handler.query.get("lose", 0))
        mine.lost += lost
    if lost:
        reset(handler)
    raise Answer(201, hook if "tells" in handler.query else shown(hook))


def one(handler, mine, key):
    with handler.server.lock:
        hook = mine.hooks.get(key)
        if hook is None:
            raise problem(404, f"there is no webhook {key}")
        if handler.command == "DELETE":
            mine.removed.append(mine.hooks.pop(key))
            raise Answer(200, {})
        if handler.command == "PATCH":
            if "refuse" in handler.query:
                raise problem(503, "not now")
            change = handler.json_body()
            if "lifetime" in change:
                hook["ends"] = ends(change["lifetime"])
            if change.get("secret"):
                hook["secret"] = change["secret"]
        raise Answer(200, shown(hook))


def route_hooks(handler):
    mine = book(handler, handler.segments[1])
    if len(handler.segments) == 3:
        return one(handler, mine, handler.segments[2])
    if handler.command == "POST":
        return register(handler, mine)
    page = int(handler.query.get("page") or 1)
    with handler.server.lock:
        hooks = [shown(hook) for hook in mine.hooks.values()]
    raise Answer(200, {"hooks": hooks[2 * page - 2:2 * page], "more": len(hooks) > 2 * page})


def route_book(handler):
    mine = book(handler, handler.segments[1])
    with handler.server.lock:
        if handler.command == "DELETE":
            mine.hooks.pop(handler.segments[2])
        raise Answer(200, {"hooks": list(mine.hooks.values()), "removed": mine.removed, "made": mine.last})


# --- a source that is polled ---


class Feed:
    def __init__(self):
        self.records = []
        self.failures = 0


def delta(handler, feed):
    token = handler.query.get("token") or "0"
    if not token.isdigit() or int(token) > len(feed.records):
        raise problem(410, "the token has expired")
    raise Answer(200, {"items": feed.records[int(token):], "more": False, "token": str(len(feed.records))})


def route_feed(handler):
    with handler.server.lock:
        feed = handler.server.services.setdefault(("feed", handler.segments[1]), Feed())
        if handler.command == "POST":
            feed.records += json.loads(handler.body)
            raise Answer(201, {"records": len(feed.records)})
        if handler.command == "DELETE":
            feed.records.clear()
            raise Answer(200, {})
        if feed.failures < int(handler.query.get("fail") or 0):
            feed.failures += 1
            raise problem(503, "not now")
        if handler.segments[2:] == ["delta"]:
            return delta(handler, feed)
        found = [r for r in feed.records if str(r.get("changed", "")) >= handler.query.get("since", "")]
    if handler.query.get("order") == "reverse":
        found.reverse()
    page, size = int(handler.query.get("page") or 1), int(handler.query.get("size") or 100)
    first = max((page - 1) * size - ("repeat" in handler.query and page > 1), 0)
    raise Answer(200, {"items": found[first:page * size], "more": len(found) > page * size})
