"""Answers that come bit by bit, and files. Each is a function named like its path
below /streams; `n` events (5), `ms` between them (0); `remaining`: what the headers say is left of a limit.

    sse          server-sent events of all spellings, then data: [DONE]
    ndjson       a line each; `last` without a line feed
    endless      server-sent events without end
    silent       one event, then nothing more
    broken       a line that is not JSON, the third
    refused      an event that says error, the third
    long bytes=  one line of so many bytes
    cut          the connection breaks after n events
    busy         503 instead of a stream
    csv xml      documents: what= names one of several (FILES)
    file bytes=  so many bytes that repeat; secret= puts the token in the middle
"""
import json
import time

import faults
from answers import problem

FILES = {
    "csv": {
        "plain": "id,name\r\n1,Anna\r\n2,\"B, \"\"b\"\"\r\nand more\"\r\n3,\r\n",
        "semicolon": "id;name\n1;A,B\n",
        "bom": "\ufeffid,name\n1,\u00e9\n",
        "short": "id,name\n1,a\n2\n3,c\n",
        "long": "id,name\n1,a\n2,b,c\n",
        "twice": "id,id\n1,2\n",
        "open": "id,name\n1,\"a\n2,b\n",
        "empty": "",
        "header": "id,name\n",
    },
    "xml": {
        "plain": '<?xml version="1.0"?><r xmlns:x="urn:x" a="1"><i id="7">seven</i><i>eight</i><x:e/><n><![CDATA[<&]]> t</n></r>',
        "bomb": '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><r>&b;</r>',
        "external": '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>',
        "doctype": '<!DOCTYPE html><html><p>a</p></html>',
        "deep": "<a>" * 5000 + "</a>" * 5000,
        "open": "<r><i></r>",
        "none": "",
        "text": "hello",
    },
}


def number(handler, name, default):
    return faults.number(handler, name, default)


def start(handler, content_type):
    handler.close_connection = True
    left = handler.query.get("remaining")
    headers = [] if left is None else [("X-RateLimit-Limit", "100"), ("X-RateLimit-Remaining", left),
                                       ("X-RateLimit-Reset", "3000")]
    handler.send(200, b"", headers, content_type, length=False)


def chunk(handler, data):
    handler.wfile.write(data)
    time.sleep(number(handler, "ms", 0) / 1000)


def sse(handler):
    start(handler, "text/event-stream")
    chunk(handler, b"\xef\xbb\xbf: a comment\n\n")
    chunk(handler, b"event: first\r\nid: 1\r\nda")
    chunk(handler, b'ta: {"n": 1}\r\n\r')
    chunk(handler, b"\nretry: 5\n\ndata: two\ndata: lines\n\ndata:{\"n\":\ndata:3}\r\rdata\n\n")
    for i in range(4, number(handler, "n", 5) + 1):
        chunk(handler, b"data: {\"n\": %d}\n\n" % i)
    chunk(handler, b"data: [DONE]\n\ndata: not whole")


def ndjson(handler):
    start(handler, "application/x-ndjson")
    for i in range(1, number(handler, "n", 5) + 1):
        chunk(handler, json.dumps({"n": i, "more": {"list": [i, i]}}).encode() + (b"\r\n" if i % 2 else b"\n\n"))
    if faults.flag(handler, "last"):
        chunk(handler, b'{"n": "last"}')


def endless(handler):
    start(handler, "text/event-stream")
    i = 0
    while True:
        i += 1
        chunk(handler, b"data: {\"n\": %d}\n\n" % i)


def silent(handler):
    start(handler, "text/event-stream")
    chunk(handler, b"data: 1\n\n")
    faults.wait_for_hangup(handler, faults.MAX_WAIT)


def broken(handler):
    start(handler, "application/x-ndjson")
    chunk(handler, b'{"n": 1}\n{"n": 2}\n{"n": \n{"n": 4}\n')


def refused(handler):
    start(handler, "text/event-stream")
    chunk(handler, b'data: {"n": 1}\n\ndata: {"n": 2}\n\nevent: error\ndata: {"message": "overloaded"}\n\ndata: {"n": 4}\n\n')


def long(handler):
    start(handler, "application/x-ndjson")
    chunk(handler, b'{"n": 1}\n"')
    left = number(handler, "bytes", 100)
    while left > 0:
        piece = min(left, 65536)
        chunk(handler, b"x" * piece)
        left -= piece
    chunk(handler, b'"\n{"n": 3}\n')


def cut(handler):
    handler.close_connection = True
    handler.send(200, b"", [("Content-Length", "100000")], "application/x-ndjson")
    for i in range(1, number(handler, "n", 5) + 1):
        chunk(handler, b'{"n": %d}\n' % i)


def busy(handler):
    raise problem(503, "no streams today")


def document(handler):
    kind = handler.segments[1]
    what = handler.query.get("what", "plain")
    content_type = {"csv": "text/csv; charset=utf-8", "xml": "application/xml"}[kind]
    handler.send(200, FILES[kind][what].encode(), [], content_type)


def file(handler):
    size = number(handler, "bytes", 1000)
    secret = handler.headers.get("Authorization", "").encode()
    handler.send(200, b"", [("Content-Length", str(size))], "application/pdf")
    at = 0
    while at < size:
        piece = bytes(i % 251 for i in range(at, min(size, at + 60000)))
        if secret and faults.flag(handler, "secret") and len(piece) == 60000:
            piece = piece[:-7] + secret[:7]
            at += 60000
            handler.wfile.write(piece)
            rest = secret[7:]
            handler.wfile.write(rest)
            at += len(rest)
            continue
        handler.wfile.write(piece)
        at += len(piece)


STREAMS = {function.__name__: function for function in (sse, ndjson, endless, silent, broken, refused, long, cut, busy,
                                                        file)}


def route(handler):
    name = handler.segments[1] if len(handler.segments) > 1 else ""
    if name in FILES:
        document(handler)
    elif name in STREAMS:
        STREAMS[name](handler)
    else:
        raise problem(404, f"there are /streams/{', '.join(sorted([*STREAMS, *FILES]))}")
