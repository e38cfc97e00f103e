"""Lists for synchronization: as many records as are asked for, changed and
deleted by the query, and faults on one page of them.

    GET /sync/records?n=50000&limit=1000&cursor=…   .data, .next, .total
        version=2 changed=7     every 7th record is that version, the others 1
        without=11              every 11th record is not there
        deleted=11              … says that it was deleted
        since=                  records changed at or after (of version 2 and more)
        order=reverse           each page backwards
        at=37 fault=NAME        page 37 plays the fault (faults.py), with times= and key= only so often
        at=37 repeat=1          page 37 is page 36 once more, and then goes on
        limit_at=               more pages than this are refused with 429
    GET /sync/records/r17       one of them
    GET /sync/deleted?n=&deleted=   the ids of those that were deleted
    GET /sync/delta?token=      without: everything, and a token; token=t1: what changed; expired: 410

Record: {"id": "r17", "name": "Record 17 v1", "value": 17, "updated_at": …}.
"""
import functools

import faults
from answers import Answer, problem


def number(values, name, default):
    try:
        return int(values.get(name, default))
    except (TypeError, ValueError):
        raise problem(400, f"{name} is not a number") from None


def changed_at(i, version):
    minutes = i + 1000000 * (version - 1)
    return f"{2024 + minutes // 525600:04d}-{minutes // 43800 % 12 + 1:02d}-{minutes // 1440 % 28 + 1:02d}T" \
           f"{minutes // 60 % 24:02d}:{minutes % 60:02d}:00Z"


def every(values, name, i):
    step = number(values, name, 0)
    return step > 0 and i % step == 0


def record(values, i):
    version = number(values, "version", 1) if every(values, "changed", i) or "changed" not in values else 1
    found = {"id": f"r{i}", "name": f"Record {i} v{version}", "value": i, "updated_at": changed_at(i, version)}
    if every(values, "deleted", i):
        found["deleted"] = True
    return found


@functools.lru_cache(maxsize=4)
def whole_list(parameters):
    values = dict(parameters)
    since = values.get("since", "")
    found = (record(values, i) for i in range(1, number(values, "n", 100) + 1) if not every(values, "without", i))
    return [r for r in found if r["updated_at"] >= since]


def all_records(values):
    """Made once for all pages of a list."""
    made_of = ("n", "version", "changed", "without", "deleted", "since")
    return whole_list(tuple((name, values[name]) for name in made_of if name in values))


def plays(handler, page):
    """Whether this request is the one that goes wrong."""
    values = handler.query
    if number(values, "at", 0) != page or "fault" not in values:
        return False
    with handler.server.lock:
        key = f"sync {values.get('key', '')}"
        handler.server.seen[key] += 1
        return handler.server.seen[key] <= number(values, "times", 1)


def records(handler):
    values = handler.query
    start, limit = number(values, "cursor", 0), number(values, "limit", 1000)
    page = start // limit + 1
    if plays(handler, page) and faults.apply(handler, values["fault"]):
        return
    whole = all_records(values)
    rows = whole[start:start + limit]
    if number(values, "at", 0) == page and "repeat" in values and start >= limit:
        rows = whole[start - limit:start] + rows
    if values.get("order") == "reverse":
        rows = rows[::-1]
    more = {"next": str(start + limit)} if start + limit < len(whole) else {}
    raise Answer(200, {"data": rows, "total": len(whole), **more})


def one(handler, name):
    if not name.startswith("r") or not name[1:].isdigit():
        raise problem(404, "there is no such record")
    i = int(name[1:])
    if i < 1 or i > number(handler.query, "n", 100) or every(handler.query, "without", i):
        raise problem(404, "there is no such record")
    raise Answer(200, record(handler.query, i))


def deleted(handler):
    raise Answer(200, {"data": [{"id": f"r{i}"} for i in range(1, number(handler.query, "n", 100) + 1)
                                if every(handler.query, "deleted", i)]})


def delta(handler):
    token = handler.query.get("token")
    if token == "expired" or (token and token == handler.query.get("expired")):
        raise problem(410, "this token has expired")
    if token:
        rows = [r for r in all_records(handler.query) if "v1" not in r["name"]]
        raise Answer(200, {"data": rows, "token": "t2"})
    raise Answer(200, {"data": all_records(handler.query), "token": "t1"})


def route(handler):
    parts = handler.segments[1:]
    if parts[:1] == ["records"] and len(parts) == 2:
        one(handler, parts[1])
    lists = {"records": records, "deleted": deleted, "delta": delta}
    if len(parts) != 1 or parts[0] not in lists:
        raise problem(404, f"there are /sync/{', '.join(sorted(lists))}")
    lists[parts[0]](handler)
