"""Salesforce's REST API, as recorded answers show it: /services/data/vNN.0/…
Two objects, a page size of two, and errors in Salesforce's own words. What is
not asked for as Salesforce wants it is an error. Records start anew with /reset.
"""
import copy
import re

from answers import Answer

PATH = re.compile(r"^/services/data/v\d+\.0(/.*)$")
PAGE = 2
TIME = "2024-02-01T10:00:00.000+0000"
LIMITS = [("Sforce-Limit-Info", "api-usage=18/15000")]
SYSTEM = {"Id": "id", "CreatedDate": "datetime", "LastModifiedDate": "datetime", "SystemModstamp": "datetime",
          "IsDeleted": "boolean", "OwnerId": "reference"}
FIELDS = {
    "Account": {**SYSTEM, "Name": "string", "Industry": "picklist", "Phone": "phone", "ERP_Id__c": "string"},
    "Contact": {**SYSTEM, "LastName": "string", "Email": "email", "AccountId": "reference"},
    "Vehicle__c": {**SYSTEM, "Name": "string", "Mileage__c": "double"},
}
REQUIRED = {"Account": "Name", "Contact": "LastName", "Vehicle__c": "Name"}
PREFIX = {"Account": "001R00000", "Contact": "003R00000", "Vehicle__c": "a01R00000"}


def record(kind, number, **values):
    return {"Id": f"{PREFIX[kind]}{number:06d}AAA", "CreatedDate": "2023-05-01T08:00:00.000+0000",
            "LastModifiedDate": values.get("SystemModstamp", TIME), "SystemModstamp": TIME, "IsDeleted": False,
            "OwnerId": "005R0000000AdminIAA", **values}


START = {
    "Account": [
        record("Account", 1, Name="Acme", Industry="Energy", Phone=None, ERP_Id__c="C-4711",
               SystemModstamp="2024-01-15T09:00:00.000+0000"),
        record("Account", 2, Name="Bolt", Industry="Energy", Phone="+1 555 0101", ERP_Id__c="C-4712"),
        record("Account", 3, Name="Cargo", Industry=None, Phone=None, ERP_Id__c=None),
        record("Account", 4, Name="Dune", Industry="Energy", Phone=None, ERP_Id__c=None),
        record("Account", 5, Name="Gone", Industry="Energy", Phone=None, ERP_Id__c=None, IsDeleted=True),
    ],
    "Contact": [
        record("Contact", 1, LastName="Frost", Email="emma@example.com", AccountId="001R00000000001AAA"),
        record("Contact", 2, LastName="Banner", Email=None, AccountId=None),
    ],
    "Vehicle__c": [record("Vehicle__c", 1, Name="Van 1", Mileage__c=1200.5)],
}


def error(status, code, message, **more):
    return Answer(status, [{"message": message, "errorCode": code, **more}], LIMITS)


class Salesforce:
    """One request's view of the service."""

    def __init__(self, handler, path):
        self.handler = handler
        self.base = handler.raw_path[:len(handler.raw_path) - len(path)]
        self.segments = [segment for segment in handler.segments[3:] if segment]
        with handler.server.lock:
            self.store = handler.server.services.setdefault("salesforce", copy.deepcopy(START))

    # --- records ---

    def shown(self, kind, row, fields=None):
        return {"attributes": {"type": kind, "url": f"{self.base}/sobjects/{kind}/{row['Id']}"},
                **{name: row.get(name) for name in fields or FIELDS[kind]}}

    def kind(self, name):
        if name not in FIELDS:
            raise error(404, "NOT_FOUND", "The requested resource does not exist")
        return name

    def find(self, kind, field, value):
        if field not in FIELDS[kind]:
            raise error(404, "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {field}")
        row = next((row for row in self.store[kind] if row.get(field) == value or
                    field == "Id" and row["Id"][:15] == value), None)
        if row is not None and row["IsDeleted"]:
            raise error(404, "ENTITY_IS_DELETED", "entity is deleted")
        return row

    def require(self, kind, field, value):
        row = self.find(kind, field, value)
        if row is None:
            raise error(404, "NOT_FOUND", "The requested resource does not exist")
        return row

    def values(self, kind, body, new):
        if not isinstance(body, dict):
            raise error(400, "JSON_PARSER_ERROR", "The HTTP entity body is required to be an object")
        for name in body:
            if name not in FIELDS[kind] or name in SYSTEM:
                raise error(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {kind}")
        if new and not body.get(REQUIRED[kind]):
            raise error(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{REQUIRED[kind]}]",
                        fields=[REQUIRED[kind]])
        return body

    def insert(self, kind, values):
        row = record(kind, 100 + len(self.store[kind]), **values)
        self.store[kind].append(row)
        return {"id": row["Id"], "success": True, "errors": []}

    # --- requests ---

    def query(self, everything):
        if len(self.segments) == 2:
            return self.next_page(self.segments[1])
        soql = self.handler.query.get("q", "")
        match = re.fullmatch(r"SELECT (.+?) FROM (\w+)(?: WHERE (\w+) (=|>=) ('[^']*'|\S+))?"
                             r"( ORDER BY SystemModstamp, Id)?", soql)
        if match is None:
            raise error(400, "MALFORMED_QUERY", f"unexpected token in: {soql}")
        kind, field, operator, value = match[2], match[3], match[4], match[5]
        if kind not in FIELDS:
            raise error(400, "INVALID_TYPE", f"sObject type '{kind}' is not supported.")
        names = list(FIELDS[kind]) if match[1] == "FIELDS(STANDARD)" else [name.strip() for name in match[1].split(",")]
        for name in names + ([field] if field else []):
            if name not in FIELDS[kind]:
                raise error(400, "INVALID_FIELD", f"No such column '{name}' on entity '{kind}'.")
        rows = [row for row in self.store[kind] if everything or not row["IsDeleted"]]
        if operator == "=":
            wanted = {"true": True, "false": False}.get(value, value.strip("'"))
            rows = [row for row in rows if row.get(field) == wanted]
        elif operator == ">=":
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value):
                raise error(400, "INVALID_FIELD", f"value of filter criterion for field '{field}' must be of type dateTime")
            rows = [row for row in rows if row[field] >= value]
        if match[6]:
            rows.sort(key=lambda row: (row["SystemModstamp"], row["Id"]))
        self.page(kind, [self.shown(kind, row, names) for row in rows], 0)

    def page(self, kind, rows, start):
        body = {"totalSize": len(rows), "done": start + PAGE >= len(rows), "records": rows[start:start + PAGE]}
        if not body["done"]:
            locator = f"01gR{len(self.store.setdefault('cursors', {})):011d}"
            self.store["cursors"][locator] = (kind, rows)
            body["nextRecordsUrl"] = f"{self.base}/query/{locator}-{start + PAGE}"
        raise Answer(200, body, LIMITS)

    def next_page(self, locator):
        name, _, start = locator.rpartition("-")
        if name not in self.store.get("cursors", {}):
            raise error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        kind, rows = self.store["cursors"][name]
        self.page(kind, rows, int(start))

    def search(self):
        match = re.fullmatch(r"FIND \{([^}]*)\} IN NAME FIELDS RETURNING (\w+)\(([^)]*)\)", self.handler.query.get("q", ""))
        if match is None:
            raise error(400, "MALFORMED_SEARCH", "No search term found. The search term must be enclosed in braces.")
        kind = self.kind(match[2])
        rows = [row for row in self.store[kind] if match[1].lower() in str(row[REQUIRED[kind]]).lower()]
        raise Answer(200, {"searchRecords": [self.shown(kind, row) for row in rows]}, LIMITS)

    def sobjects(self):
        command, segments = self.handler.command, self.segments[1:]
        if not segments:
            raise Answer(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [
                {"name": kind, "label": kind, "custom": kind.endswith("__c"), "queryable": True} for kind in FIELDS]}, LIMITS)
        kind = self.kind(segments[0])
        if len(segments) == 1 and command == "POST":
            raise Answer(201, self.insert(kind, self.values(kind, self.handler.json_body(), True)), LIMITS)
        if len(segments) == 2 and segments[1] == "describe":
            raise Answer(200, {"name": kind, "label": kind, "fields": [
                {"name": name, "label": name, "type": type_, "nillable": name != REQUIRED[kind], "updateable": name not in SYSTEM} for name, type_ in FIELDS[kind].items()]},
                LIMITS)
        if len(segments) == 2 and segments[1] in ("updated", "deleted"):
            return self.changed(kind, segments[1])
        field, value = (segments[1], segments[2]) if len(segments) == 3 else ("Id", segments[1])
        self.one(kind, field, value, command)

    def changed(self, kind, which):
        for name in ("start", "end"):
            if not re.match(r"\d{4}-\d\d-\d\dT", self.handler.query.get(name, "")):
                raise error(400, "MISSING_ARGUMENT", f"The {name} parameter is required")
        rows = [row for row in self.store[kind] if row["IsDeleted"] == (which == "deleted")]
        if which == "updated":
            raise Answer(200, {"ids": [row["Id"] for row in rows], "latestDateCovered": TIME}, LIMITS)
        raise Answer(200, {"deletedRecords": [{"id": row["Id"], "deletedDate": TIME} for row in rows],
                           "earliestDateAvailable": TIME, "latestDateCovered": TIME}, LIMITS)

    def one(self, kind, field, value, command):
        if command == "GET":
            fields = self.handler.query.get("fields")
            raise Answer(200, self.shown(kind, self.require(kind, field, value), fields.split(",") if fields else None), LIMITS)
        if command == "PATCH":
            row = self.find(kind, field, value)
            if row is None and field != "Id":
                raise Answer(201, {**self.insert(kind, {**self.values(kind, self.handler.json_body(), True), field: value}),
                                   "created": True}, LIMITS)
            row = self.require(kind, field, value)
            row.update(self.values(kind, self.handler.json_body(), False))
            if field != "Id":
                raise Answer(200, {"id": row["Id"], "success": True, "errors": [], "created": False}, LIMITS)
        elif command == "DELETE":
            self.require(kind, field, value)["IsDeleted"] = True
        else:
            raise error(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{command}' not allowed. Allowed are HEAD,GET,PATCH,DELETE")
        self.handler.send(204, headers=LIMITS)

    def composite(self):
        """A result for each record, in order, under one HTTP 200."""
        command, results = self.handler.command, []
        if command == "DELETE":
            work = [(None, {"id": item}) for item in self.handler.query.get("ids", "").split(",")]
        else:
            body = self.handler.json_body()
            if set(body) != {"allOrNone", "records"}:
                raise error(400, "JSON_PARSER_ERROR", f"Unrecognized field at: {sorted(body)}")
            work = [(item.get("attributes", {}).get("type"), item) for item in body["records"]]
        for kind, item in work:
            try:
                results.append(self.apply(command, kind, item))
            except Answer as answer:
                results.append({"success": False, "errors": [
                    {"statusCode": one["errorCode"], "message": one["message"], "fields": []} for one in answer.document]})
        raise Answer(200, results, LIMITS)

    def apply(self, command, kind, item):
        values = {name: value for name, value in item.items() if name not in ("attributes", "id")}
        if command == "POST":
            return self.insert(self.kind(kind), self.values(kind, values, True))
        for kind_ in FIELDS:
            row = self.find(kind_, "Id", item["id"])
            if row is not None:
                row.update({"IsDeleted": True} if command == "DELETE" else self.values(kind_, values, False))
                return {"id": row["Id"], "success": True, "errors": []}
        raise error(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")

    def route(self):
        if self.handler.headers.get("Authorization", "") != f"Bearer {self.handler.server.token}":
            raise error(401, "INVALID_SESSION_ID", "Session expired or invalid")
        first = self.segments[0]
        if first in ("query", "queryAll"):
            self.query(first == "queryAll")
        elif first == "search":
            self.search()
        elif first == "sobjects":
            self.sobjects()
        elif self.segments == ["composite", "sobjects"]:
            self.composite()
        elif first == "limits":
            raise Answer(200, {"DailyApiRequests": {"Max": 15000, "Remaining": 14982}}, LIMITS)
        elif self.segments[:2] == ["analytics", "reports"] and len(self.segments) == 3:
            raise Answer(200, {"attributes": {"reportId": self.segments[2]}, "allData": True,
                               "hasDetailRows": self.handler.query.get("includeDetails") == "true",
                               "factMap": {"T!T": {"aggregates": [{"label": "4", "value": 4}], "rows": []}}}, LIMITS)
        raise error(404, "NOT_FOUND", "The requested resource does not exist")


def route(handler):
    match = PATH.match(handler.raw_path)
    if match is None:
        raise error(404, "NOT_FOUND", "The requested resource does not exist")
    Salesforce(handler, match[1]).route()
