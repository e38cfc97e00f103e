"""Faults on demand. A fault is a function named like its path; it takes the
handler, answers, and returns True, or returns False where the request should
go on as if nothing had been (a delay that is over, a failure that was once).

    delay ms=            answers after ms milliseconds
    status code= retry_after= body=     an error with a JSON body (or body=)
    say code=200 h_NAME=VALUE  an answer with these headers
    once code= times=1 key=             fails the first times per key, then works
    hangonce key=        does not answer the first per key until the client hangs up, then works
    reset after=0        sends so many bytes of an answer, then resets the connection
    truncate bytes= claim=              claims a longer (or shorter) body than it sends
    close                closes without an answer
    noanswer             never answers
    garbage              answers something that is not HTTP
    notjson type=        says JSON, sends HTML
    empty code=200       a body of no bytes
    never ms=100         a body that never ends, byte by byte
    headers_never        headers that never end
    huge bytes= chunked= a JSON string of so many bytes, streamed
    deep levels= kind=array|object      nested JSON
    redirect to= code=302 hops=         to a URL; or so many times to itself, then /echo
    gzip deflate br      encoded JSON;  badgzip: says gzip, is not
    gzipbomb bytes=      so many zero bytes, compressed
    charset name=        JSON in that charset, named in Content-Type
    binary type=         all 256 byte values
    nul                  JSON with \\u0000 and lone surrogates
    badutf8              JSON with bytes that are not UTF-8
    chunked badchunk     chunks, with a trailer; a chunk whose size is no number
    headers n= size=     so many headers of so many bytes
"""
import functools
import gzip as gzip_module
import json
import os
import select
import socket
import struct
import time
import zlib

from answers import problem

CHUNK = 64 * 1024
MAX_WAIT = 3600


def number(handler, name, default):
    try:
        return int(handler.query.get(name, default))
    except ValueError:
        raise problem(400, f"{name} is not a number") from None


def flag(handler, name):
    return handler.query.get(name, "") not in ("", "0", "false")


def wait_for_hangup(handler, seconds):
    """Sleeps, but no longer than the client stays."""
    limit = time.monotonic() + seconds
    while (left := limit - time.monotonic()) > 0:
        readable, _, _ = select.select([handler.connection], [], [], min(left, 1))
        # Under TLS a close arrives as a record; an idle client sends nothing else.
        if readable:
            handler.close_connection = True
            return


def drop(handler, reset):
    """Ends the connection at once, by a reset or orderly."""
    handler.close_connection = True
    if reset:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        handler.connection.shutdown(socket.SHUT_RDWR)
    # The file objects around the socket would keep the descriptor open.
    os.close(handler.connection.detach())


def send_encoded(handler, encoding, encode):
    body = json.dumps({"encoding": encoding, "text": "compressed " * 20}).encode()
    handler.send(200, encode(body), [("Content-Encoding", encoding)])
    return True


def send_chunk(handler, data):
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


# --- time and status ---

def delay(handler):
    server = handler.server
    with server.lock:
        server.delayed += 1
        server.peak = max(server.peak, server.delayed)
    time.sleep(number(handler, "ms", 1000) / 1000)
    with server.lock:
        server.delayed -= 1
    return False


def status(handler):
    code = number(handler, "code", 500)
    headers = [("Retry-After", handler.query["retry_after"])] if "retry_after" in handler.query else []
    if "body" in handler.query:
        handler.send(code, handler.query["body"].encode(), headers)
    else:
        handler.send_json(code, {"error": {"code": code, "message": f"asked for {code}"}}, headers)
    return True


def say(handler):
    headers = [(name[2:], value) for name, value in handler.query.items() if name.startswith("h_")]
    handler.send(number(handler, "code", 200), b'{"ok": true}', headers)
    return True


def seen_before(handler):
    """How often this was asked for with its key, this time not counted."""
    key = handler.query.get("key", handler.raw_path)
    with handler.server.lock:
        handler.server.seen[key] += 1
        return handler.server.seen[key] - 1


def once(handler):
    return seen_before(handler) < number(handler, "times", 1) and status(handler)


def hangonce(handler):
    if seen_before(handler) > 0:
        return False
    return noanswer(handler)


# --- connections ---

def reset(handler):
    whole = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"data": "'
    whole += b"x" * 500
    handler.wfile.write(whole[:number(handler, "after", 150)])
    # A reset overtakes what the client has not read yet: leave it time to arrive.
    time.sleep(0.05)
    drop(handler, reset=True)
    return True


def truncate(handler):
    body = b'{"data": "' + b"x" * max(0, number(handler, "bytes", 100) - 12) + b'"}'
    handler.close_connection = True
    handler.send(200, body, [("Content-Length", number(handler, "claim", len(body) + 100))])
    return True


def close(handler):
    drop(handler, reset=False)
    return True


def noanswer(handler):
    wait_for_hangup(handler, MAX_WAIT)
    handler.close_connection = True
    return True


def garbage(handler):
    handler.close_connection = True
    handler.wfile.write(b"\x00\x01\x02 this is not HTTP \xff\xfe\r\n\r\n" * 4)
    return True


# --- bodies ---

def notjson(handler):
    handler.send(200, b"<html><body>Welcome to the login page</body></html>",
                 content_type=handler.query.get("type", "application/json"))
    return True


def empty(handler):
    handler.send(number(handler, "code", 200))
    return True


def never(handler):
    handler.close_connection = True
    handler.send(200, headers=[("Transfer-Encoding", "chunked")], length=False)
    send_chunk(handler, b'{"data": "')
    while True:
        send_chunk(handler, b"x")
        time.sleep(number(handler, "ms", 100) / 1000)


def headers_never(handler):
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    count = 0
    while True:
        count += 1
        handler.wfile.write(b"X-Endless-%d: x\r\n" % count)
        time.sleep(number(handler, "ms", 100) / 1000)


def huge(handler):
    total = number(handler, "bytes", 100 * 1024 * 1024)
    chunked_body = flag(handler, "chunked")
    write = functools.partial(send_chunk, handler) if chunked_body else handler.wfile.write
    framing = ("Transfer-Encoding", "chunked") if chunked_body else ("Content-Length", total)
    handler.send(200, headers=[framing], length=False)
    write(b'{"data":"')
    left = total - len(b'{"data":""}')
    block = b"x" * CHUNK
    while left > 0:
        write(block[:left])
        left -= CHUNK
    write(b'"}')
    if chunked_body:
        handler.wfile.write(b"0\r\n\r\n")
    return True


def deep(handler):
    levels = number(handler, "levels", 200)
    if handler.query.get("kind") == "object":
        body = '{"a":' * levels + "1" + "}" * levels
    else:
        body = "[" * levels + "]" * levels
    handler.send(200, body.encode())
    return True


def redirect(handler):
    code = number(handler, "code", 302)
    hops = number(handler, "hops", 0)
    to = handler.query.get("to")
    if to is None:
        to = f"/fault/redirect?code={code}&hops={hops - 1}" if hops > 1 or hops < 0 else "/echo"
    handler.send(code, headers=[("Location", to)])
    return True


# --- encodings ---

def brotli_stored(body):
    """A brotli stream (RFC 7932) of uncompressed blocks: no library is needed."""
    out, position = bytearray(), 0
    bits, count = 0, 1  # window size 16: one zero bit
    while position < len(body):
        block = body[position:position + 65536]
        # not last, four nibbles of length, length - 1, uncompressed
        bits |= ((len(block) - 1) << 3 | 1 << 19) << count
        count += 20
        size = -(-count // 8)
        out += bits.to_bytes(size, "little") + block
        bits, count = 0, 0
        position += len(block)
    return bytes(out) + b"\x03"  # last and empty


def gzip(handler):
    return send_encoded(handler, "gzip", lambda body: gzip_module.compress(body, mtime=0))


def deflate(handler):
    return send_encoded(handler, "deflate", zlib.compress)


def br(handler):
    return send_encoded(handler, "br", brotli_stored)


def badgzip(handler):
    return send_encoded(handler, "gzip", lambda body: body)


@functools.lru_cache(maxsize=4)
def bomb(size):
    """size zero bytes as gzip. One compressed mebibyte, flushed so that nothing refers back, is repeated."""
    unit = 1024 * 1024
    whole, rest = divmod(size, unit)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(unit)) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    end = packer.compress(bytes(rest)) + packer.flush()
    checksum = 0
    for _ in range(whole):
        checksum = zlib.crc32(bytes(unit), checksum)
    checksum = zlib.crc32(bytes(rest), checksum)
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    return header + block * whole + end + struct.pack("<II", checksum, size % 2 ** 32)


def gzipbomb(handler):
    handler.send(200, bomb(number(handler, "bytes", 200 * 1024 * 1024)), [("Content-Encoding", "gzip")])
    return True


def charset(handler):
    name = handler.query.get("name", "latin1")
    document = '{"city": "Zürich", "dish": "crème brûlée"}'
    try:
        body = document.encode(name)
    except LookupError:
        raise problem(400, f"there is no charset {name}") from None
    except UnicodeEncodeError:
        raise problem(400, f"the text cannot be written in {name}") from None
    handler.send(200, body, content_type=f"{handler.query.get('type', 'application/json')}; charset={name}")
    return True


def binary(handler):
    handler.send(200, bytes(range(256)), content_type=handler.query.get("type", "application/octet-stream"))
    return True


def nul(handler):
    handler.send(200, b'{"nul": "a\\u0000b", "high": "a\\ud800b", "low": "a\\udc00b", "pair": "\\ud83d\\ude00", '
                      b'"key\\u0000": 1}')
    return True


def badutf8(handler):
    handler.send(200, b'{"text": "a\xff\xfeb\xc3("}')
    return True


# --- framing ---

def chunked(handler):
    handler.send(200, headers=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")], length=False)
    for part in (b'{"da', b'ta": [1', b", 2, 3", b"]}"):
        send_chunk(handler, part)
    handler.wfile.write(b"0\r\nX-Sum: 6\r\n\r\n")
    return True


def badchunk(handler):
    handler.close_connection = True
    handler.send(200, headers=[("Transfer-Encoding", "chunked")], length=False)
    handler.wfile.write(b'5\r\n{"a":\r\nzz\r\n1}\r\n0\r\n\r\n')
    return True


def headers(handler):
    count, size = number(handler, "n", 100), number(handler, "size", 100)
    handler.send(200, b'{"ok": true}', [(f"X-Filler-{i}", "x" * size) for i in range(count)])
    return True


FAULTS = {fault.__name__: fault for fault in (
    delay, status, say, once, hangonce, reset, truncate, close, noanswer, garbage, notjson, empty, never, headers_never, huge,
    deep, redirect, gzip, deflate, br, badgzip, gzipbomb, charset, binary, nul, badutf8, chunked, badchunk, headers)}


def apply(handler, name):
    """Runs a fault by name; False where the request should go on."""
    if name not in FAULTS:
        raise problem(404, f"there is no fault {name}; there are {', '.join(sorted(FAULTS))}")
    return FAULTS[name](handler)
