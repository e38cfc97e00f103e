"""The styles in which services hand out long lists. Each function takes the
handler, the whole (filtered) list and the page size, and returns the page, the
keys it adds to the document, and headers."""
import base64
from urllib.parse import urlencode

from answers import problem

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000


def number(handler, values, name, default, least=0):
    try:
        value = int(values.get(name, default))
    except (TypeError, ValueError):
        raise problem(400, f"{name} is not a number") from None
    if value < least:
        raise problem(400, f"{name} must be at least {least}")
    return value


def encode_cursor(offset):
    return base64.urlsafe_b64encode(f"o{offset}".encode()).decode()


def decode_cursor(cursor):
    """The offset in an opaque cursor; one that was not handed out is refused."""
    if not cursor:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor).decode()
        if text[0] != "o":
            raise ValueError
        return int(text[1:])
    except (ValueError, IndexError):
        raise problem(400, "this cursor was not handed out") from None


def url_with(handler, changes, absolute):
    query = {**handler.query, **changes}
    return (handler.server.origin if absolute else "") + handler.raw_path + "?" + urlencode(query)


def cursor(handler, rows, limit, values):
    """?cursor=…, the next one in .next_cursor, null at the end."""
    start = decode_cursor(values.get("cursor"))
    page = rows[start:start + limit]
    more = start + limit < len(rows)
    return page, {"next_cursor": encode_cursor(start + limit) if more else None, "has_more": more}, []


def header(handler, rows, limit, values):
    """The cursor travels in headers: X-Cursor, X-Next-Cursor."""
    start = decode_cursor(handler.headers.get("X-Cursor"))
    more = start + limit < len(rows)
    return rows[start:start + limit], {}, [("X-Next-Cursor", encode_cursor(start + limit))] if more else []


def page(handler, rows, limit, values):
    """?page=1…, with .page, .pages and .total."""
    which = number(handler, values, "page", 1, 1)
    start = (which - 1) * limit
    return rows[start:start + limit], {"page": which, "pages": -(-len(rows) // limit), "total": len(rows)}, []


def offset(handler, rows, limit, values):
    """?offset=0&limit=…, with .total."""
    start = number(handler, values, "offset", 0)
    return rows[start:start + limit], {"offset": start, "limit": limit, "total": len(rows)}, []


def link(handler, rows, limit, values):
    """RFC 8288: a Link header with several relations, next among them."""
    which = number(handler, values, "page", 1, 1)
    last = max(1, -(-len(rows) // limit))
    links = [f'<{url_with(handler, {"page": 1}, True)}>; rel="first"',
             f'<{url_with(handler, {"page": last}, True)}>; rel="last"']
    if which < last:
        links.insert(0, f'<{url_with(handler, {"page": which + 1}, True)}>; rel="next"')
    if which > 1:
        links.append(f'<{url_with(handler, {"page": which - 1}, True)}>; rel="prev"')
    start = (which - 1) * limit
    return rows[start:start + limit], {}, [("Link", ", ".join(links))]


def next_url(handler, rows, limit, values, absolute=True):
    """.next is the whole URL of the next page; absent at the end."""
    start = decode_cursor(values.get("cursor"))
    more = start + limit < len(rows)
    added = {"next": url_with(handler, {"cursor": encode_cursor(start + limit)}, absolute)} if more else {}
    return rows[start:start + limit], added, []


def next_url_relative(handler, rows, limit, values):
    """.next is a path with a query."""
    return next_url(handler, rows, limit, values, absolute=False)


def last_id(handler, rows, limit, values):
    """?starting_after=ID of the last record seen, with .has_more."""
    start = 0
    if values.get("starting_after"):
        ids = [row["id"] for row in rows]
        if values["starting_after"] not in ids:
            raise problem(400, "starting_after names no record")
        start = ids.index(values["starting_after"]) + 1
    return rows[start:start + limit], {"has_more": start + limit < len(rows)}, []


def none(handler, rows, limit, values):
    """Everything at once."""
    return rows, {}, []


STYLES = {style.__name__: style
          for style in (cursor, header, page, offset, link, next_url, next_url_relative, last_id, none)}


def paginate(handler, rows, values):
    """The document and headers of one page; the final one carries a sync token."""
    name = values.get("paging", "cursor")
    if name not in STYLES:
        raise problem(400, f"paging is one of {', '.join(sorted(STYLES))}")
    limit = min(number(handler, values, "limit", DEFAULT_LIMIT, 1), MAX_LIMIT)
    found, added, headers = STYLES[name](handler, rows, limit, values)
    document = {"data": found, **added}
    if rows and (not found or found[-1] is rows[-1]):
        document["next_sync_token"] = max(row["updated_at"] for row in rows)
    return document, headers
