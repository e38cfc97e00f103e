"""Lists that page in the ways of real services, and lists that lie. Each is a
function named like its path below /lists; it takes the handler and answers.
`n` records (default 25) of {"id": 1, "name": "r1"}, `limit` (10) a page.

    done            .records, .done, .nextRecordsUrl: a path          (Salesforce)
    is_last         .values, .isLast, .startAt; startAt, maxResults     (Jira)
    continue        POST; .entries, .cursor, .has_more; further pages
                    from /lists/continue/next with the cursor alone     (Dropbox)
    relay           POST; GraphQL: .data.items.nodes and .pageInfo      (Linear)
    odata           .value, @odata.nextLink, at last @odata.deltaLink   (Graph)
    links           several Link headers and relations, odd spellings   (GitHub)
    omitted         leaves .messages out when there are none            (Gmail)
    nocontent       page=; 204 behind the last page                     (Zoho)
    form            POST form: page, per_page; .items
    session         page= from 0; further pages need the .session_id of
                    the first answer, the header X-Session too         (Mixpanel)
    sql             POST text "SELECT … STARTPOSITION n MAXRESULTS m";
                    .QueryResponse.Item, {} behind the last        (QuickBooks)
    keyset          q="… [WHERE id > 'n'] ORDER BY id LIMIT m"; a list     (SOQL)
    circle stuck    cursors that come again; empty: pages without end
    shrinks         pages with fewer and fewer records, at last none, and always a next one
    ignores         the same page whatever is asked for
    elsewhere       its next page is at another origin; garbled: is no URL
    fails           the third page fails with 503; stall: the second never comes
"""
import re
from urllib.parse import parse_qsl, urlencode

import faults
from answers import Answer, problem


def number(values, name, default):
    try:
        return int(values.get(name, default))
    except (TypeError, ValueError):
        raise problem(400, f"{name} is not a number") from None


def records(values, start, limit=None):
    end = min(number(values, "n", 25), start + (limit or number(values, "limit", 10)))
    return [{"id": i + 1, "name": f"r{i + 1}"} for i in range(start, end)]


def url(handler, name, **query):
    return f"/lists/{name}?" + urlencode({**handler.query, **query})


def done(handler):
    start = number(handler.query, "at", 0)
    page = records(handler.query, start)
    last = start + len(page) >= number(handler.query, "n", 25)
    more = {} if last else {"nextRecordsUrl": url(handler, "done", at=start + len(page))}
    raise Answer(200, {"records": page, "done": last, "totalSize": number(handler.query, "n", 25), **more})


def is_last(handler):
    start = number(handler.query, "startAt", 0)
    size = min(number(handler.query, "maxResults", 10), 10)
    page = records(handler.query, start, size)
    raise Answer(200, {"values": page, "startAt": start, "maxResults": size,
                       "isLast": start + len(page) >= number(handler.query, "n", 25)})


def continue_(handler):
    body = handler.json_body()
    if handler.segments[2:] == ["next"]:
        if list(body) != ["cursor"] or handler.query:
            raise problem(400, "further pages take the cursor alone")
        start = number(body, "cursor", 0)
        body = {}
    else:
        start = 0
    page = records(body, start)
    more = start + len(page) < 25
    raise Answer(200, {"entries": page, "cursor": str(start + len(page)), "has_more": more})


def relay(handler):
    variables = handler.json_body().get("variables", {})
    start = number({"after": variables.get("after") or 0}, "after", 0)
    size = number(variables, "first", 10)
    page = records({}, start, size)
    raise Answer(200, {"data": {"items": {"nodes": page, "pageInfo": {
        "endCursor": str(start + len(page)), "hasNextPage": start + len(page) < 25}}}})


def odata(handler):
    if "token" in handler.query:
        raise Answer(200, {"value": [{"id": 26, "name": "new"}], "@odata.deltaLink":
                           handler.server.origin + url(handler, "odata", token="t2")})
    start = number(handler.query, "skip", 0)
    page = records(handler.query, start)
    link = (("@odata.nextLink", {"skip": start + len(page)}) if start + len(page) < 25
            else ("@odata.deltaLink", {"token": "t1"}))
    raise Answer(200, {"value": page, link[0]: handler.server.origin + url(handler, "odata", **link[1])})


def links(handler):
    start = number(handler.query, "at", 0)
    page = records(handler.query, start)
    headers = [("Link", f'<{url(handler, "links", at=0)}>; rel=first; title="one, <two>; rel=\\"next\\""')]
    if start + len(page) < 25:
        headers += [("Link", f'<https://elsewhere.example/>; rel="base", '
                             f'<{url(handler, "links", at=start + len(page))}> ; title=x ;REL="chapter Next"')]
    raise Answer(200, page, headers)


def omitted(handler):
    start = number(handler.query, "pageToken", 0)
    page = records(handler.query, start)
    more = {"nextPageToken": str(start + len(page))} if start + len(page) < number(handler.query, "n", 25) else {}
    raise Answer(200, {**({"messages": page} if page else {}), **more})


def nocontent(handler):
    page = records(handler.query, (number(handler.query, "page", 1) - 1) * 10)
    raise Answer(200 if page else 204, {"data": page})


def form(handler):
    values = dict(parse_qsl(handler.body.decode()))
    size = number(values, "per_page", 10)
    raise Answer(200, {"items": records(values, (number(values, "page", 1) - 1) * size, size), "total": 25})


def session(handler):
    page = number(handler.query, "page", 0)
    opened = handler.query.get("session_id"), handler.headers.get("X-Session")
    if opened != ((None, None) if page == 0 else ("s/1 2", "h-1")):
        raise problem(400, f"page {page} with the session {opened}")
    # The session is told once.
    told = ({"session_id": "s/1 2"}, [("X-Session-Id", "h-1")]) if page == 0 else ({}, [])
    raise Answer(200, {"results": records(handler.query, page * 10), "page": page, **told[0]}, told[1])


def sql(handler):
    found = re.fullmatch(r"SELECT \* FROM Item STARTPOSITION (\d+) MAXRESULTS (\d+)", handler.body.decode())
    if not found:
        raise problem(400, f"no query: {handler.body.decode()}")
    start, size = int(found[1]), int(found[2])
    page = records(handler.query, start - 1, size)
    found = {"Item": page, "startPosition": start, "maxResults": len(page)} if page else {}
    raise Answer(200, {"QueryResponse": found})


def keyset(handler):
    query = handler.query.get("q", "")
    found = re.fullmatch(r"SELECT Id FROM Item( WHERE Id > '(\d+)')? ORDER BY Id LIMIT (\d+)", query)
    if not found:
        raise problem(400, f"no query: {query}")
    raise Answer(200, records(handler.query, int(found[2] or 0), int(found[3])))


def circle(handler):
    which = handler.query.get("cursor", "a")
    raise Answer(200, {"data": records({}, 0, 2), "next": {"a": "b", "b": "c", "c": "d", "d": "b"}[which]})


def stuck(handler):
    raise Answer(200, {"data": records({}, 0, 2), "next": "a"})


def empty(handler):
    raise Answer(200, {"data": [], "next": str(number(handler.query, "cursor", 0) + 1)})


def shrinks(handler):
    start = number(handler.query, "cursor", 0)
    page = records({}, start, max(0, 10 - start))[:max(0, 4 - start // 3)]
    raise Answer(200, {"data": page, "next": str(start + 3), "total": 25})


def ignores(handler):
    raise Answer(200, {"data": records({}, 0)})


def elsewhere(handler):
    raise Answer(200, {"data": records({}, 0, 2), "next": "https://elsewhere.example/lists/elsewhere"})


def garbled(handler):
    raise Answer(200, {"data": records({}, 0, 2), "next": "ftp://user:password@:-1/"})


def fails(handler):
    start = number(handler.query, "cursor", 0)
    if start >= 20:
        raise problem(503, "later")
    raise Answer(200, {"data": records({}, start), "next": str(start + 10)})


def stall(handler):
    if "cursor" in handler.query:
        faults.wait_for_hangup(handler, faults.MAX_WAIT)
        raise ConnectionError
    raise Answer(200, {"data": records({}, 0), "next": "2"})


LISTS = {name.rstrip("_"): function for name, function in list(globals().items())
         if callable(function) and name not in ("Answer", "problem", "number", "records", "url",
                                                "parse_qsl", "urlencode", "re")}


def route(handler):
    name = handler.segments[1] if len(handler.segments) > 1 else ""
    if name not in LISTS:
        raise problem(404, f"there are /lists/{', '.join(sorted(LISTS))}")
    LISTS[name](handler)
