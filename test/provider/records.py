"""Records: Debian's iso-codes as collections that can be read and changed."""
import copy
import datetime
import json
import threading

import paging
from answers import Answer, problem

FOLDER = "/usr/share/iso-codes/json"

# Collection: file, key in the file, field that is the id.
COLLECTIONS = {
    "countries": ("iso_3166-1.json", "3166-1", "alpha_2"),
    "subdivisions": ("iso_3166-2.json", "3166-2", "code"),
    "currencies": ("iso_4217.json", "4217", "alpha_3"),
    "languages": ("iso_639-3.json", "639-3", "alpha_3"),
}

EPOCH = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)

# Parameters of a list that are not fields to filter by.
CONTROLS = {"limit", "paging", "cursor", "page", "offset", "starting_after", "updated_since", "sync_token", "q",
            "take"}


def minute(number):
    """The time of the nth change: one minute apart, the same in every run."""
    return (EPOCH + datetime.timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ")


def load(name):
    file, key, id_field = COLLECTIONS[name]
    with open(f"{FOLDER}/{file}", encoding="utf-8") as data:
        rows = json.load(data)[key]
    found = {}
    for number, row in enumerate(rows):
        row = {"id": row[id_field], **row, "updated_at": minute(number)}
        if name == "subdivisions":
            row["country"] = row["id"].split("-")[0]
        found[row["id"]] = row
    return found


class Store:
    """All collections; each is read from its file when it is first asked for."""

    def __init__(self):
        self.lock = threading.RLock()
        self.original = {}
        self.current = {}
        self.changes = 0

    @staticmethod
    def names():
        return list(COLLECTIONS)

    def restore(self):
        with self.lock:
            self.current = {}
            self.changes = 0

    def collection(self, name):
        from server import problem
        if name not in COLLECTIONS:
            raise problem(404, f"there is no collection {name}")
        with self.lock:
            if name not in self.original:
                self.original[name] = load(name)
            if name not in self.current:
                self.current[name] = copy.deepcopy(self.original[name])
            return self.current[name]

    def get(self, name, key):
        from server import problem
        rows = self.collection(name)
        if key not in rows:
            raise problem(404, f"{name} has no record {key}")
        return rows[key]

    def put(self, name, key, values):
        """Stores a record; changes lie after every original time, one minute apart."""
        with self.lock:
            rows = self.collection(name)
            self.changes += 1
            rows.pop(key, None)  # the last changed comes last
            rows[key] = {"id": key, **{k: v for k, v in values.items() if k != "id"},
                         "updated_at": minute(1000000 + self.changes)}
            return rows[key]

    def delete(self, name, key):
        with self.lock:
            self.get(name, key)
            del self.collection(name)[key]


def matches(row, values):
    since = values.get("updated_since") or values.get("sync_token")
    if since and row["updated_at"] < since:
        return False
    if values.get("q") and values["q"].lower() not in row.get("name", "").lower():
        return False
    return all(str(row.get(name)) == str(value) for name, value in values.items()
               if name not in CONTROLS and not name.startswith("_"))


def listing(handler, name, values):
    store = handler.server.store
    with store.lock:
        rows = sorted((row for row in store.collection(name).values() if matches(row, values)),
                      key=lambda row: row["updated_at"])
    if "take" in values:
        rows = rows[:paging.number(handler, values, "take", 0)]
    document, headers = paging.paginate(handler, rows, values)
    handler.send_json(200, document, headers)


def search(handler, name):
    """A list whose filter, cursor and limit come in the body."""
    body = handler.json_body()
    if not isinstance(body, dict) or not isinstance(body.get("filter", {}), dict):
        raise problem(400, "the body must be an object, and its filter too")
    values = {**body.get("filter", {}), **{k: v for k, v in body.items() if k in CONTROLS}}
    listing(handler, name, values)


def create(handler, name):
    body = handler.json_body()
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        raise problem(422, "a record is an object with a text id")
    store = handler.server.store
    with store.lock:
        if body["id"] in store.collection(name):
            raise problem(409, f"{name} has a record {body['id']} already")
        row = store.put(name, body["id"], body)
    handler.send_json(201, {"data": row, "received": handler.described()},
                      [("Location", f"{handler.raw_path}/{row['id']}")])


def change(handler, name, key):
    body = handler.json_body()
    if not isinstance(body, dict):
        raise problem(422, "a record is an object")
    store = handler.server.store
    with store.lock:
        old = store.get(name, key)
        row = store.put(name, key, {**old, **body} if handler.command == "PATCH" else body)
    handler.send_json(200, {"data": row, "received": handler.described()})


def route(handler):
    """/v1/COLLECTION[/ID | /search]"""
    name, key = (handler.segments[1:] + [None, None])[:2]
    method = handler.command
    if len(handler.segments) > 3 or name is None:
        raise problem(404, f"there is no {handler.raw_path}")
    if key is None:
        if method in ("GET", "HEAD"):
            return listing(handler, name, handler.query)
        if method == "POST":
            return create(handler, name)
    elif key == "search" and method == "POST":
        return search(handler, name)
    elif method in ("GET", "HEAD"):
        raise Answer(200, {"data": handler.server.store.get(name, key)})
    elif method in ("PUT", "PATCH"):
        return change(handler, name, key)
    elif method == "DELETE":
        handler.server.store.delete(name, key)
        return handler.send(204)
    raise problem(405, f"{method} is not for {handler.raw_path}")
