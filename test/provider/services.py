r"""Services that answer in more than one breath: GraphQL, jobs, and a CRM that
describes itself. What they answer is said by the request alone, and by how
often a job was asked for.

    POST /graphql              {"data": {"echo": what arrived}}; variables.fault: errors, partial, throttled, invalid
    POST /jobs                 starts a job; body: polls (how often it is still running), outcome (done, failed,
                               never, garbage), key, location (its address is the Location, and nothing else says it),
                               retry_after (seconds, until it has ended), url (where it says its result is)
    GET  /jobs/ID              its state;  GET /jobs/ID/results  what it brought
    GET  /crm/sobjects?count=N  objects;    GET /crm/sobjects/NAME/describe  its fields
    GET  /crm/query?q=SOQL     records of the object behind FROM
    *    /gate/KEY             answers once somebody has asked for /open/KEY
    GET  /versioned/KEY        a document with an ETag and a Last-Modified, or 304; ?no_store, ?bare: without either;
                               POST makes it another version
    *    /services/data/…      Salesforce (salesforce.py)
    *    /oauth/NAME/…         a token service (tokens.py)
    *    /hooks/… /feed/…      webhooks that are registered, a source that is polled (hooks.py)
"""
import re

import faults
import hooks
import salesforce
import tokens
from answers import Answer, problem


def graphql(handler):
    body = handler.json_body()
    variables = body.get("variables") or {}
    fault = variables.get("fault")
    data = {"echo": {"operationName": body.get("operationName"), "variables": variables,
                     "document": body.get("query")}}
    if handler.command != "POST" or not isinstance(body.get("query"), str):
        raise problem(400, "a GraphQL request is a POST of a query")
    if fault == "errors":
        raise Answer(200, {"data": {"echo": None}, "errors": [{"message": "no such field", "path": ["echo"]}]})
    if fault == "partial":
        raise Answer(200, {"data": {**data, "other": None}, "errors": [{"message": "other is not yours"},
                                                                       {"message": "and more"}]})
    if fault == "throttled":
        raise Answer(200, {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
                           "extensions": {"cost": {"requestedQueryCost": 400, "throttleStatus": {
                               "currentlyAvailable": 100, "restoreRate": 50}}}})
    if fault == "invalid":
        raise Answer(400, {"errors": [{"message": "syntax error", "extensions": {"code": "GRAPHQL_PARSE_FAILED"}}]})
    raise Answer(200, {"data": data})


def start_job(handler):
    body = handler.json_body()
    store = handler.server.jobs
    with handler.server.lock:
        key = str(body.get("key") or f"job-{len(store) + 1}")
        store.setdefault(key, {"polls": 0, **body})
    if "location" in body:
        raise Answer(202, {"state": "Open"}, [("Location", body["location"].replace("KEY", key))])
    raise Answer(202, {"job": {"id": key, "state": "Open"}})


def job(handler, key):
    with handler.server.lock:
        row = handler.server.jobs.get(key)
        if row is None:
            raise problem(404, f"there is no job {key}")
        row["asked"] = row.get("asked", 0) + 1
        asked, outcome = row["asked"], row.get("outcome", "done")
    if asked <= int(row["polls"]) or outcome == "never":
        headers = [("Retry-After", str(row["retry_after"]))] if "retry_after" in row else []
        raise Answer(200, {"job": {"id": key, "state": "InProgress", "asked": asked}}, headers)
    if outcome == "garbage":
        return handler.send(200, b"<html>queued</html>", content_type="text/html")
    if outcome == "failed":
        raise Answer(200, {"job": {"id": key, "state": "Failed", "message": "the query has no FROM"}})
    where = {"url": row["url"]} if "url" in row else {}
    raise Answer(200, {"job": {"id": key, "state": "JobComplete", "rows": 2, "asked": asked, **where}})


def jobs(handler):
    segments = handler.segments
    if len(segments) == 1 and handler.command == "POST":
        return start_job(handler)
    if len(segments) == 2 and handler.command == "GET":
        return job(handler, segments[1])
    if len(segments) == 3 and segments[2] == "results":
        raise Answer(200, {"job": segments[1], "rows": [{"Id": "1"}, {"Id": "2"}]})
    raise problem(404, f"there is no {handler.raw_path}")


FIELDS = [
    {"name": "Id", "label": "Record ID", "type": "id", "nillable": False, "createable": False, "length": 18},
    {"name": "Name", "label": "Name", "type": "string", "nillable": False, "createable": True, "length": 80},
    {"name": "Amount__c", "label": "Amount", "type": "currency", "nillable": True, "createable": True},
    {"name": "Paid__c", "label": "Paid", "type": "boolean", "nillable": False, "createable": True},
    {"name": "Due__c", "label": "Due", "type": "date", "nillable": True, "createable": True},
    {"name": "SystemModstamp", "label": "Changed", "type": "datetime", "nillable": False, "createable": False},
]
OBJECTS = ["Account", "Invoice__c", "Vehicle__c", "Secret__Share"]


def crm(handler):
    segments = handler.segments[1:]
    if segments == ["sobjects"]:
        names = [f"Object{n}__c" for n in range(int(handler.query["count"]))] if "count" in handler.query else OBJECTS
        raise Answer(200, {"sobjects": [
            {"name": name, "label": name.replace("__c", ""), "custom": name.endswith("__c"),
             "queryable": not name.endswith("__Share")} for name in names]})
    if len(segments) == 3 and segments[0] == "sobjects" and segments[2] == "describe":
        fields = FIELDS if segments[1] != "Vehicle__c" else FIELDS + [
            {"name": "Plate__c", "label": "Plate", "type": "encryptedstring", "nillable": True, "createable": True}]
        raise Answer(200, {"name": segments[1], "fields": fields})
    if segments == ["query"]:
        name = re.search(r"FROM (\w+)", handler.query.get("q", ""))
        raise Answer(200, {"done": True, "soql": handler.query.get("q"),
                           "records": [{"Id": "1", "Name": name.group(1) if name else None}]},
                     [("X-RateLimit-Remaining", "41")])
    raise problem(404, f"there is no {handler.raw_path}")


def gate(handler):
    key = handler.segments[-1]
    while key not in handler.server.opened and not handler.close_connection:
        faults.wait_for_hangup(handler, 0.02)
    raise Answer(200, {"gate": key})


def open_gate(handler):
    handler.server.opened.add(handler.segments[-1])
    raise Answer(200, {"open": handler.segments[-1]})


def versioned(handler):
    key = "/".join(handler.segments)
    with handler.server.lock:
        if handler.command == "POST":
            handler.server.seen[key] += 1
        version = handler.server.seen[key]
    etag = f'"v{version}"'
    headers = [("ETag", etag), ("Last-Modified", f"Sat, 01 Jan 2000 00:00:{version % 60:02d} GMT")]
    if "bare" in handler.query:
        headers = []
    if "no_store" in handler.query:
        headers.append(("Cache-Control", "private, no-store"))
    since = handler.headers.get("If-Modified-Since")
    if handler.headers.get("If-None-Match") == etag or since == "Sun, 01 Jan 2034 00:00:00 GMT":
        return handler.send(304, headers=headers, content_type=None)
    return handler.send_json(200, {"data": {"version": version}}, headers)


ROUTES = {"gate": gate, "open": open_gate, "versioned": versioned, "graphql": graphql, "jobs": jobs, "crm": crm,
          "services": salesforce.route, "oauth": tokens.route,
          "hooks": hooks.route_hooks, "hookbook": hooks.route_book, "feed": hooks.route_feed}
