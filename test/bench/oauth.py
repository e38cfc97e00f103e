#!/usr/bin/env python3
"""OAuth beside the service's own time.

The code flow with a real authorization server on loopback (oidc-provider), less the person: integ_oauth_start and
integ_oauth_callback, each in a backend of its own that has nothing cached, with durable commits. Of the callback, the
time of its token request is the service's. On a busy machine all of it waits for a CPU: so the CPU time of the whole
server, backends that begin and end included, is told as well. Then the refresh of one token, and of many whose time
comes at once.

Needs what the tests take from npm (INTEG_NODE_MODULES); without it the flow is left out, and a line says so.
"""
import glob
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.parse

LONG = bool(os.environ.get("INTEG_LONG"))
FLOWS = 60 if LONG else 15
REFRESHES = 200 if LONG else 50
MANY = 1000 if LONG else 300
REDIRECT = "http://127.0.0.1:9/callback"

TIMED = """
DO $$
DECLARE
    begun timestamptz := clock_timestamp();
    answer record;
BEGIN
    SELECT * INTO answer FROM {call};
    PERFORM set_config('bench.wall', (extract(epoch FROM clock_timestamp() - begun) * 1e3)::text, false);
    PERFORM set_config('bench.answer', to_jsonb(answer)::text, false);
END $$;
SELECT current_setting('bench.wall');
SELECT current_setting('bench.answer');
"""

# What the service took of the last requests, once the recorder has written them.
SERVICE = "SELECT duration_us / 1e3 FROM integ.requests WHERE method = '{method}' ORDER BY created_at DESC LIMIT {count};"
LOGGED = "SELECT count(*) FROM integ.requests WHERE method = '{method}';"

DUE = """
UPDATE integ.oauth_tokens t SET refresh_at = now() FROM integ.instances i WHERE i.id = t.instance AND i.definition = 'bench_many';
"""
LEFT = """
SELECT count(*) FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance
WHERE i.definition = 'bench_many' AND t.version < {version};
"""


def psql(sql):
    run = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"], input=sql, text=True,
                         capture_output=True, check=False)
    if run.returncode != 0:
        raise SystemExit(run.stderr)
    return run.stdout.strip()


def timed(call):
    wall, answer = psql(TIMED.format(call=call)).split("\n", 1)
    return float(wall), json.loads(answer)


def define(name, base, oauth):
    manifest = {
        "integrationId": name, "name": name, "version": "1.0.0", "category": "custom", "baseUrl": base,
        "authType": "oauth2", "oauth2Config": oauth,
        "methods": [{"id": "me", "name": "Me", "access": "read", "inputSchema": {}, "outputSchema": {},
                     "request": {"method": "GET", "path": "/me"}}]}
    psql(f"SELECT integ_define($m${json.dumps(manifest)}$m$);")


def service_ms(method, known, count):
    """The service's times of the last requests, once as many more than known are in the log."""
    while int(psql(LOGGED.format(method=method))) < known + count:
        time.sleep(0.05)
    return [float(line) for line in psql(SERVICE.format(method=method, count=count)).split("\n")]


def get(url, cookies):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("GET", f"{parts.path}?{parts.query}",
                       headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())})
    answer = connection.getresponse()
    answer.read()
    for header in answer.headers.get_all("Set-Cookie") or []:
        name, value = header.split(";")[0].split("=", 1)
        cookies[name] = value
    connection.close()
    return answer.getheader("Location")


def agree(url):
    """The person: follows the pages until one leads back to the application; its parameters."""
    cookies, origin = {}, "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(url))
    for _ in range(12):
        url = urllib.parse.urljoin(origin, get(url, cookies))
        if not url.startswith(origin):
            return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    raise SystemExit("too many redirects")


def start_server(folder):
    modules = os.environ["INTEG_NODE_MODULES"]
    node = glob.glob(f"{modules}/node-linux-*/bin/node")[0]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.symlink(modules, f"{folder}/node_modules")
    shutil.copy("test/oidc/server.mjs", folder)
    server = subprocess.Popen([node, f"{folder}/server.mjs", json.dumps({"port": port, "redirectUri": REDIRECT})],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    while "ready" not in server.stdout.readline():
        if server.poll() is not None:
            raise SystemExit("the authorization server did not start")
    return server, f"http://127.0.0.1:{port}"


def flow(number):
    started, answer = timed(f"integ_oauth_start('bench_oidc', '{{\"instance_id\": \"bench_flow_{number}\"}}')")
    back = agree(answer["authorization_url"])
    called, _ = timed(f"""integ_oauth_callback('{back["state"]}', '{back["code"]}', params => '{{"iss": "{back["iss"]}"}}')""")
    return started + called


def stat(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return None


def cpu_ms():
    """CPU time of the server so far: its processes, and those that have ended."""
    with open(f"{os.environ['PGDATA']}/postmaster.pid", encoding="ascii") as file:
        server = file.readline().strip()
    ended = stat(server)
    ticks = sum(int(field) for field in ended[11:15])
    for path in glob.glob("/proc/[0-9]*"):
        fields = stat(os.path.basename(path))
        if fields and fields[1] == server:
            ticks += int(fields[11]) + int(fields[12])
    return ticks * 1e3 / os.sysconf("SC_CLK_TCK")


def bench_flow(origin):
    define("bench_oidc", origin, {
        "authorizationUrl": f"{origin}/auth", "tokenUrl": f"{origin}/token", "issuer": origin, "redirectUri": REDIRECT,
        "tokenEndpointAuthMethod": "none", "scopes": ["openid", "offline_access", "read"],
        "additionalParameters": {"prompt": "consent"}})
    psql("SELECT integ_credential_set('definition:bench_oidc', 'client_id', 'public');")
    flow(0)
    known = int(psql(LOGGED.format(method="oauth.exchange")))
    cpu = cpu_ms()
    totals = [flow(number + 1) for number in range(FLOWS)]
    cpu = cpu_ms() - cpu
    service = service_ms("oauth.exchange", known, FLOWS)
    total, theirs = statistics.median(totals), statistics.median(service)
    print(f"bench oauth_flow_ms {total:.1f}")
    print(f"bench oauth_flow_service_ms {theirs:.1f}")
    print(f"bench oauth_flow_own_ms {total - theirs:.1f}")
    print(f"bench oauth_flow_own_best_ms {min(totals) - theirs:.1f}")
    print(f"bench oauth_flow_cpu_ms {cpu / FLOWS:.1f}")


def bench_refresh(url):
    define("bench_many", url, {"grantType": "client_credentials", "tokenUrl": f"{url}/oauth/bench/token",
                               "tokenEndpointAuthMethod": "none"})
    psql(f"""SELECT integ_credential_set('definition:bench_many', 'client_id', 'app');
        SELECT count(integ_connect('bench_many', 'bench_many_' || g)) FROM generate_series(1, {MANY}) g;""")
    walls = []
    known = int(psql(LOGGED.format(method="oauth.refresh")))
    for number in range(1, MANY + 1):
        walls.append(f"SELECT integ_oauth_refresh('bench_many_{number}');")
    psql("\n".join(walls))
    known += MANY
    wall = psql(f"""
        DO $$
        DECLARE
            begun timestamptz := clock_timestamp();
        BEGIN
            PERFORM integ_oauth_refresh('bench_many_1') FROM generate_series(1, {REFRESHES});
            PERFORM set_config('bench.wall', (extract(epoch FROM clock_timestamp() - begun) * 1e3 / {REFRESHES})::text, false);
        END $$;
        SELECT current_setting('bench.wall');""")
    theirs = statistics.mean(service_ms("oauth.refresh", known, REFRESHES))
    print(f"bench oauth_refresh_ms {float(wall):.1f}")
    print(f"bench oauth_refresh_own_ms {float(wall) - theirs:.1f}")
    version = int(psql("SELECT max(t.version) FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance "
                       "WHERE i.instance_id = 'bench_many_2';")) + 1
    begun = time.monotonic()
    psql(DUE)
    while psql(LEFT.format(version=version)) != "0":
        time.sleep(0.05)
    print(f"bench oauth_due_at_once_per_s {MANY / (time.monotonic() - begun):.0f}")


def main():
    bench_refresh(os.environ["INTEG_PROVIDER_URL"])
    if not os.path.isdir(os.environ.get("INTEG_NODE_MODULES", "")):
        print("# without what the tests take from npm, the code flow is not measured")
        return
    with tempfile.TemporaryDirectory() as folder:
        server, origin = start_server(folder)
        try:
            bench_flow(origin)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


main()
