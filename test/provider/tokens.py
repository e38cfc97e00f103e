r"""A token service: grants, rotation, signed assertions, long-lived tokens.

    POST /oauth/NAME/token      client_credentials, refresh_token (which rotates; one that was used before revokes the
                                grant), authorization_code (any code that starts with "good"), jwt-bearer (signed with
                                the key below). Query: expires_in=3600, scope=, refresh=0 (none is given), nonce=
    PUT  /oauth/NAME/key        the public key (PEM) that verifies assertions
    *    /oauth/NAME/exchange   the parameter "token" (or access_token) becomes a token that lives 60 days
    POST /oauth/NAME/installation  a bearer token that is signed so becomes an access token: {"token", "expires_at"}
    GET  /oauth/NAME/me         200 with a token of this service, else 401
    GET  /oauth/NAME/seen       how often each grant was granted and refused, and claims of the last assertion

With `_fault=delay&ms=20` any of them is slow, and /peak tells how many were at once. With `before=KEY` they wait for
/open/KEY, with `after=KEY` they do what they do and wait before they answer.
"""
import base64
import json
import subprocess
import tempfile
import time
from urllib.parse import parse_qsl

import faults
from answers import Answer, problem

LONG_LIFE = 60 * 86400
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def service(handler):
    return handler.server.services.setdefault(
        ("oauth", handler.segments[1]),
        {"issued": 0, "grants": {}, "access": {}, "refresh": {}, "used": {}, "key": None, "claims": None})


def issued(server, token):
    """Whether any of the token services has granted the token, and not revoked it: /v1 takes these as well."""
    with server.lock:
        return any(key[0] == "oauth" and token in state["access"]
                   for key, state in server.services.items() if isinstance(key, tuple))


def note(state, grant, outcome):
    name = f"{grant.rpartition(':')[2]} {outcome}"
    state["grants"][name] = state["grants"].get(name, 0) + 1


def refuse(state, grant, error, text, status=400):
    note(state, grant, "refused")
    raise Answer(status, {"error": error, "error_description": text})


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def verified(assertion, key, audience):
    """The claims of an RS256 JWT whose signature, audience and times are right; else None."""
    parts = assertion.split(".")
    if key is None or len(parts) != 3 or json.loads(decoded(parts[0])).get("alg") != "RS256":
        return None
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("key", key), ("signature", decoded(parts[2])), ("signed", ".".join(parts[:2]).encode())):
            with open(f"{folder}/{name}", "wb") as out:
                out.write(content)
        check = subprocess.run(["openssl", "dgst", "-sha256", "-verify", f"{folder}/key", "-signature",
                                f"{folder}/signature", f"{folder}/signed"], capture_output=True, check=False)
    claims = json.loads(decoded(parts[1]))
    good = check.returncode == 0 and claims.get("aud") == audience and claims["iat"] <= time.time() < claims["exp"]
    return claims if good else None


def issue(handler, state, grant, family, lives):
    """The answer with new tokens. family joins the tokens of one authorization."""
    state["issued"] += 1
    number = state["issued"]
    access = f"access-{handler.segments[1]}-{number}"
    state["access"][access] = family
    answer = {"access_token": access, "token_type": "Bearer", "expires_in": lives}
    if grant in ("authorization_code", "refresh_token") and handler.query.get("refresh") != "0":
        answer["refresh_token"] = f"refresh-{handler.segments[1]}-{number}"
        state["refresh"][answer["refresh_token"]] = family
    if "scope" in handler.query:
        answer["scope"] = handler.query["scope"]
    if "nonce" in handler.query:
        claims = base64.urlsafe_b64encode(json.dumps({"nonce": handler.query["nonce"]}).encode()).decode().rstrip("=")
        answer["id_token"] = f"e30.{claims}.c2ln"
    note(state, grant, "granted")
    raise Answer(200, answer)


def refresh(state, form):
    """The family of a refresh token, which is used up. Whoever shows one twice may have stolen it: all are revoked."""
    token = form.get("refresh_token", "")
    if token in state["used"]:
        family = state["used"][token]
        for kind in ("access", "refresh"):
            state[kind] = {name: of for name, of in state[kind].items() if of != family}
        refuse(state, "refresh_token", "invalid_grant", "the refresh token was used before")
    if token not in state["refresh"]:
        refuse(state, "refresh_token", "invalid_grant", "unknown refresh token")
    state["used"][token] = state["refresh"].pop(token)
    return state["used"][token]


def token(handler, state):
    form = dict(parse_qsl(handler.body.decode(), keep_blank_values=True))
    grant = form.get("grant_type", "")
    family = f"family-{state['issued']}"
    if grant == "refresh_token":
        family = refresh(state, form)
    elif grant == "authorization_code" and not form.get("code", "").startswith("good"):
        refuse(state, grant, "invalid_grant", "the code is not good")
    elif grant == BEARER:
        state["claims"] = verified(form.get("assertion", ""), state["key"], handler.query.get("audience"))
        if state["claims"] is None:
            refuse(state, grant, "invalid_grant", "the assertion is not good")
    elif grant not in ("client_credentials", "authorization_code"):
        refuse(state, grant or "none", "unsupported_grant_type", grant)
    issue(handler, state, grant, family, int(handler.query.get("expires_in", 3600)))


def exchange(handler, state):
    given = dict(handler.query, **dict(parse_qsl(handler.body.decode())))
    grant = given.get("grant_type", "none")
    shown = given.get("access_token") or given.get("token")
    if shown not in state["access"]:
        note(state, grant, "refused")
        raise Answer(400, {"error": {"message": "Error validating access token", "type": "OAuthException", "code": 190}})
    issue(handler, state, grant, state["access"][shown], int(handler.query.get("expires_in", LONG_LIFE)))


def installation(handler, state):
    shown = handler.headers.get("Authorization", "").removeprefix("Bearer ")
    state["claims"] = verified(shown, state["key"], handler.query.get("audience"))
    if state["claims"] is None or handler.body:
        note(state, "installation", "refused")
        raise problem(401, "a JSON web token could not be decoded")
    state["issued"] += 1
    access = f"ghs-{handler.segments[1]}-{state['issued']}"
    state["access"][access] = "installation"
    note(state, "installation", "granted")
    ends = time.gmtime(time.time() + int(handler.query.get("expires_in", 3600)))
    raise Answer(201, {"token": access, "expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", ends)})


def me(handler, state):
    shown = handler.headers.get("Authorization", "").removeprefix("Bearer ").removeprefix("token ")
    if shown not in state["access"]:
        raise problem(401, "no such token")
    raise Answer(200, {"token": shown})


def wait_for(handler, key):
    while key is not None and key not in handler.server.opened and not handler.close_connection:
        faults.wait_for_hangup(handler, 0.02)


def route(handler):
    wait_for(handler, handler.query.get("before"))
    if handler.close_connection:
        return  # the client went away before anything was done
    try:
        act(handler)
    except Answer:
        wait_for(handler, handler.query.get("after"))
        raise


def act(handler):
    action = handler.segments[2] if len(handler.segments) == 3 else ""
    with handler.server.lock:
        state = service(handler)
        if action == "key":
            state["key"] = handler.body
            raise Answer(200, {"ok": True})
        if action == "seen":
            raise Answer(200, {"grants": state["grants"], "claims": state["claims"]})
        for name, serve in (("token", token), ("exchange", exchange), ("installation", installation),
                            ("me", me)):
            if action == name:
                return serve(handler, state)
    raise problem(404, f"there is no {handler.raw_path}")
