"""A local HTTP service for integ's tests and demo: real records, every style
of pagination, and faults on demand.

    python3 test/provider [--token TOKEN] [--port N] [--port-file FILE]
        [--pid-file FILE] [--tls CERT KEY] [--tls-ca CA] [--parent PID]

It listens on a free port of 127.0.0.1 and prints the port as its first line.
Nothing depends on time or chance: what a request gets is said by the request
(and, for the few paths that count, by the requests before it).

Records (records.py, paging.py): Debian's iso-codes, with `Authorization:
Bearer TOKEN` where a token is set.
    GET    /v1/countries/FR             also subdivisions, currencies, languages
    GET    /v1/countries?limit=20       filters: any field, q=, updated_since=;
                                        take=150: no more than these, whatever Debian has by now
    GET    /v1/countries?paging=page    cursor (default), page, offset, link,
                                        next_url, next_url_relative, last_id, header
    POST   /v1/countries/search         filter, cursor and limit in the body
    POST   /v1/countries                create; PUT, PATCH, DELETE /v1/countries/XX
    GET    /auth/bearer                 also basic, header, query: exactly that way

Lists in the ways of real services, and lists that lie (lists.py):
    *      /lists/done                  also is_last, continue, relay, odata, links …

Lists of any length that change, and faults on one of their pages (sync.py):
    GET    /sync/records?n=1000         also deleted, delta

Answers that come bit by bit, and files (streams.py):
    GET    /streams/sse                 also ndjson, endless, csv, xml, file …

What a caller sent (server.py):
    *      /echo[/anything]             method, path, query, headers, body as JSON
    GET    /count[?path=/v1/countries]  requests seen per path
    GET    /log                         the last 10,000 requests, with the time ("at", seconds of some clock)
    GET    /peak                        most requests that were in /fault/delay at the same time
    DELETE /count, /log                 forget; /reset also restores the records

In more than one breath (services.py): /graphql, /jobs, /crm, /versioned

Tokens (tokens.py): /oauth/NAME/token grants, rotates, verifies assertions

Faults (faults.py), by path or, on any other path, by `_fault=NAME` in the query:
    /fault/status?code=429&retry_after=3   /fault/delay?ms=500   /fault/reset …
"""
import argparse
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from server import Provider  # noqa: E402  (the path comes first)


def write_whole(path, text):
    """Writes a file that a reader sees empty or whole, never in part."""
    with open(path + ".new", "w", encoding="ascii") as out:
        out.write(text)
    os.rename(path + ".new", path)


def end_with(parent):
    """Ends this process when the process that started it is gone."""
    while True:
        try:
            os.kill(parent, 0)
        except OSError:
            os._exit(0)
        time.sleep(1)


def main():
    parser = argparse.ArgumentParser(description="A local HTTP service for tests.")
    parser.add_argument("--token", default="", help="what /v1 wants as bearer token; without it, nothing")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--port-file", help="where to write the port")
    parser.add_argument("--pid-file", help="where to write the process id")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="serve HTTPS with these PEM files")
    parser.add_argument("--tls-ca", metavar="CA", help="ask clients for a certificate of this authority")
    parser.add_argument("--parent", type=int, help="end when this process is gone")
    options = parser.parse_args()

    provider = Provider(options.port, options.token, options.tls, options.tls_ca)
    port = provider.server_address[1]
    if options.pid_file:
        write_whole(options.pid_file, f"{os.getpid()}\n")
    if options.port_file:
        write_whole(options.port_file, f"{port}\n")
    print(port, flush=True)
    if options.parent:
        threading.Thread(target=end_with, args=(options.parent,), daemon=True).start()
    try:
        provider.serve_forever()
    except KeyboardInterrupt:
        pass


main()
