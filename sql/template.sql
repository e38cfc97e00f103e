-- Templates, queries, paths and maps, as an author of a connector tries them.
\set VERBOSITY default
\pset null '(null)'

-- A value that is one placeholder keeps its type; an absent one drops its key or element.
SELECT integ.template_render('{"id": "{vendor_id}", "when": "{due}", "tags": ["{tag}", "fixed", "{n}"], "note": "{note}"}',
                             '{"vendor_id": 7, "n": 1.50, "note": null}');
SELECT integ.template_render('"{whole}"', '{"whole": {"a": [1, {"b": true}]}}');
SELECT integ.template_render('"{absent}"', '{}');

-- Dotted names, indexes, quoted names; config, task, credentials.
SELECT integ.template_render('["{items[0].sku}", "{items[-1].sku}", "{items[9].sku}", "{\"odd name\".x}", "{a.\"b.c\"}"]',
                             '{"items": [{"sku": "A"}, {"sku": "B"}], "odd name": {"x": 1}, "a": {"b.c": 2}}');
SELECT integ.template_render('{"c": "{config.region}", "t": "{task.since}", "k": "Bearer {credentials.token}", "x": "{credentials.token}"}',
                             '{"config": "shadowed"}', '{"region": "eu"}', '{"since": "2024-01-01"}');

-- Text: values as text, optional fragments, escapes.
SELECT integ.template_render('["{n} of {total}", "{yes}[, by {who}]", "a{{b}}[[c]]", "[literal]", "x[ and {gone}] y[ and {n}]", "[{gone}]"]',
                             '{"n": 1, "total": 2.5, "yes": true}');
SELECT integ.template_render('["[a={a}][&b={b}][&c={c}]", "filter[name]={a}", "[q[[{a}]]=1]"]', '{"a": 1, "c": "x"}');
SELECT integ.template_render('"null is absent in text[: {x}]"', '{"x": null}');
-- What a value holds is never a template again.
SELECT integ.template_render('{"a": "{a}", "b": "<{a}>"}', '{"a": "{b} [{c}] {{d}}", "b": "no"}');
SELECT integ.template_render('{"q": {"$literal": "query { issue(id: 1) { title } }"}, "raw": {"$literal": {"$each": "kept"}}}', '{}');

-- Lists.
SELECT integ.template_render('{"lines": {"$each": "items", "as": "i", "index": "n", "do": {"Sku": "{i.sku}", "Qty": "{i.quantity}", "No": "{n}", "For": "{customer}"}}}',
                             '{"customer": "ACME", "items": [{"sku": "A", "quantity": 2}, {"sku": "B"}]}');
SELECT integ.template_render('{"none": {"$each": "gone", "as": "i", "do": "{i}"}, "empty": {"$each": "empty", "as": "i", "do": "{i}"}}',
                             '{"empty": []}');
SELECT integ.template_render('{"$each": "rows", "as": "row", "do": {"$each": "row.cells", "as": "cell", "do": "{row.name}:{cell}"}}',
                             '{"rows": [{"name": "a", "cells": [1, 2]}, {"name": "b", "cells": []}]}');
SELECT integ.template_render('{"$each": "items", "as": "i", "do": {"$if": "$i.qty > 1", "then": "{i.sku}"}}',
                             '{"items": [{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}]}');

-- Conditions: a name, or a jsonpath over input, config and task.
SELECT v, integ.template_render('{"$if": "x", "then": "yes", "else": "no"}', jsonb_build_object('x', v))
FROM (VALUES ('null'::jsonb), ('false'), ('""'), ('[]'), ('{}'), ('0'), ('"a"'), ('[0]'), ('true')) AS t (v);
SELECT integ.template_render('{"a": {"$if": "$.input.n > 3 && $.config.mode == \"x\"", "then": 1, "else": 2},
                               "b": {"$if": "$.input.items[*] ? (@ == 9)", "then": 1},
                               "c": {"$if": "$.input.items[*] ? (@ == 2)", "then": 1},
                               "d": {"$if": "gone", "then": 1}}',
                             '{"n": 4, "items": [1, 2]}', '{"mode": "x"}');

-- Its variables are the elements of the lists around it; any other is refused when it is compiled, whatever its input.
SELECT integ.template_render('{"$each": "rows", "as": "r", "do": {"$if": "$.input ? (@.max > $r)", "then": "{r}"}}', '{"rows": [1, 5, 9], "max": 6}');
SELECT integ.template_render('{"$if": "$ ? (@ == $x)", "then": 1}', '{}');
SELECT integ.path_get('{}', '$.a ? (@.b == "$x \" $\"y\"" && @.c > $"y\"z")');
SELECT integ.path_get('{"a": "$x \" y"}', '$.a ? (@ == "$x \" y")');

-- Paths: a value never changes where a path leads.
SELECT integ.template_text('"/inventory/{sku}[/{part}]?x={q}"', '{"sku": "a b/c?d#e%ü", "q": "&=+"}', encoding => 'percent');
SELECT integ.template_text('"/files/{+path}"', '{"path": "docs/ä b/x.txt"}', encoding => 'percent');
SELECT integ.template_text('"/v{n}.json"', '{"n": "."}', encoding => 'percent');
SELECT integ.template_text('"/a?x={x}&y={y}"', '{"x": "", "y": ".."}', encoding => 'percent');
SELECT integ.template_text('"/a/{x}/b"', '{"x": ".."}', encoding => 'percent');
SELECT integ.template_text('"/a/{x}{y}"', '{"x": ".", "y": "."}', encoding => 'percent');
SELECT integ.template_text('"/a/{x}"', '{"x": ""}', encoding => 'percent');
SELECT integ.template_text('"/a/%2e{x}"', '{"x": "."}', encoding => 'percent');
SELECT integ.template_text('"/a/{+x}"', '{"x": "b/../../c"}', encoding => 'percent');
SELECT integ.template_text('"/a/{+x}"', '{"x": "/b"}', encoding => 'percent');
SELECT integ.template_text('"/a/{+x}"', '{"x": "b/"}', encoding => 'percent');
SELECT integ.template_text('"/a/{x}"', '{}', encoding => 'percent');
\echo :LAST_ERROR_SQLSTATE

-- Headers: no control characters.
SELECT integ.template_text('"{a}"', jsonb_build_object('a', E'x\ty'), encoding => 'header');
SELECT integ.template_text('"{a}"', jsonb_build_object('a', E'x\r\nSet-Cookie: y'), encoding => 'header');
SELECT integ.template_text('"a{credentials.token}"', '{}', encoding => 'header');

SELECT * FROM integ.template_headers('{"Accept": "text/plain", "X-Ids": "{ids}", "X-Gone": "{gone}", "X-N": "{n}", "Authorization": "Bearer {credentials.token}"}',
                                     '{"ids": [1, "b", null], "n": 2}');
SELECT * FROM integ.template_headers('{"X-A": "{a}"}', jsonb_build_object('a', E'x\nSet-Cookie: y'));
SELECT * FROM integ.template_headers('{"X A": 1}', '{}');
SELECT * FROM integ.template_headers('{"X-A": {"a": 1}}', '{}');
SELECT * FROM integ.template_headers('["X-A"]', '{}');
SELECT * FROM integ.template_headers('{"$if": "gone", "then": {"X-A": 1}}', '{}');

-- Queries.
SELECT integ.template_query('{"q": "{q}", "ids": "{ids}", "flag": "{flag}", "n": "{n}", "gone": "{gone}", "nil": "{nil}", "filter[a b]": "x={q}", "fixed": 1}',
                            '{"q": "ä &=", "ids": [1, "two", true, null], "flag": false, "n": 1e2, "nil": null}');
SELECT integ.template_query('{"gone": "{gone}"}', '{}');
SELECT integ.template_query('{"q": "{q}", "a b": "{credentials.key}"}', '{"q": "ä + b"}', form => true);
SELECT integ.template_query('{"o": "{o}"}', '{"o": {"a": 1}}');
SELECT integ.template_query('{"o": "{o}"}', '{"o": [[1]]}');
SELECT integ.template_query('["{a}"]', '{"a": 1}');

-- Values that have no text, and values that are missing.
SELECT integ.template_render('"a {o}"', '{"o": {"secret": 1}}');
SELECT integ.template_render('"a {o}"', '{"o": [1]}');
SELECT integ.template_render('"a {o}"', '{}');
SELECT integ.template_render('"a {config.region}"', '{}');
SELECT integ.template_render('{"$each": "o", "as": "i", "do": 1}', '{"o": 1}');

-- Templates that are wrong.
SELECT integ.template_render('"{"', '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT integ.template_render('"a}"', '{}');
SELECT integ.template_render('"{}"', '{}');
SELECT integ.template_render('"{a b}"', '{}');
SELECT integ.template_render('"{a..b}"', '{}');
SELECT integ.template_render('"{a[x]}"', '{}');
SELECT integ.template_render('"[0-9]{3}"', '{}');
SELECT integ.template_render('"[a {b}"', '{}');
SELECT integ.template_render('"[a [b] {c}]"', '{}');
SELECT integ.template_render('"{config}"', '{}');
SELECT integ.template_render('"{credentials.a.b}"', '{}');
SELECT integ.template_render('{"$each": "a", "do": 1}', '{}');
SELECT integ.template_render('{"$each": "a", "as": "i"}', '{}');
SELECT integ.template_render('{"$each": "a", "as": "config", "do": 1}', '{}');
SELECT integ.template_render('{"$each": "a", "as": "i", "do": 1, "when": 2}', '{}');
SELECT integ.template_render('{"$if": "a"}', '{}');
\set VERBOSITY terse
SELECT integ.template_render('{"$if": "$.a ===", "then": 1}', '{}');
\set VERBOSITY default
SELECT integ.template_render('{"$literal": 1, "b": 2}', '{}');
SELECT integ.template_render((repeat('[', 65) || repeat(']', 65))::jsonb, '{}');
SELECT integ.template_render('1', '[]');

-- What grows without an end is stopped.
SELECT integ.template_render('{"$each": "a", "as": "i", "do": {"$each": "a", "as": "j", "do": "{a}"}}',
                             jsonb_build_object('a', (SELECT jsonb_agg(i) FROM generate_series(1, 1000) AS i)));

SELECT integ.template_render('{"$each": "a", "as": "i", "do": {"$each": "a", "as": "j", "do": {"$each": "a", "as": "k", "do": {"$if": "no", "then": 1}}}}',
                             jsonb_build_object('a', (SELECT jsonb_agg(i) FROM generate_series(1, 1000) AS i)));
SELECT jsonb_array_length(integ.template_render('{"$each": "a", "as": "i", "do": {"$if": "$i > 10", "then": "no. {i}"}}',
                          jsonb_build_object('a', (SELECT jsonb_agg(i) FROM generate_series(1, 20000) AS i))));

-- Paths of answers.
SELECT path, integ.path_get('{"data": {"items": [{"id": 1}, {"id": 2}], "odd key": "x", "nil": null, "a\"b": 3}, "@odata.nextLink": "u"}', path)
FROM (VALUES ('.'), ('.data.items[0].id'), ('.data.items[-1].id'), ('.data.items[2]'), ('.data."odd key"'), ('.data["odd key"]'),
             ('.data.nil'), ('.data.none'), ('.data.items.id'), ('."@odata.nextLink"'), ('.data."a\"b"'),
             ('$.data.items[*].id'), ('$.data.items[*] ? (@.id > 1).id'), ('$.none')) AS t (path);
SELECT integ.path_get('[10, 20]', '.[1]'), integ.path_get('"scalar"', '.'), integ.path_get('"scalar"', '.a');
SELECT path, integ.path_exists('{"ok": false, "error": null, "items": []}', path)
FROM (VALUES ('$ ? (@.ok == false)'), ('$.ok == false'), ('$.ok == true'), ('$.nothing == 1'), ('$.error'), ('.error'), ('.none'), ('$.items[*]')) AS t (path);
SELECT integ.path_get('{}', 'data');
SELECT integ.path_get('{}', '.a..b');
SELECT integ.path_get('{}', '.a[');
SELECT integ.path_get('{}', '.a b');
SELECT integ.path_get('{}', '."a');
\set VERBOSITY terse
SELECT integ.path_get('{}', '$.a[');
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE

-- Maps of answers.
SELECT integ.path_map('{"data": {"quantity_on_hand": 5, "warehouse": "W1", "lines": [{"sku": "A", "n": 1}, {"sku": "B"}], "one": {"sku": "C"}}}',
                      '{"quantity": ".data.quantity_on_hand", "place": {"name": ".data.warehouse", "gone": ".data.gone"},
                        "lines": {"$each": ".data.lines", "do": {"id": ".sku", "count": ".n"}},
                        "one": {"$each": ".data.one", "do": ".sku"}, "none": {"$each": ".data.none", "do": "."},
                        "skus": "$.data.lines[*].sku", "list": [".data.warehouse", ".none", 1],
                        "kind": {"$literal": "stock"}, "version": 2, "nil": null}');
SELECT integ.path_map('{}', '".none"');
SELECT integ.path_map('{}', '{"a": "data.x"}');
SELECT integ.path_map('{}', '{"a": {"$each": ".b"}}');

-- Anybody who uses integ may try; others may not.
CREATE ROLE regress_template_user;
GRANT integ_user TO regress_template_user;
SET ROLE regress_template_user;
SELECT integ.template_render('"{a}"', '{"a": 1}'), integ.path_get('{"a": 1}', '.a');
RESET ROLE;
REVOKE integ_user FROM regress_template_user;
SET ROLE regress_template_user;
SELECT integ.template_render('"{a}"', '{"a": 1}');
RESET ROLE;
DROP ROLE regress_template_user;

-- Lists and objects as parameters: what a service reads is for it to say.
\set VERBOSITY terse
\set nested '{"items": [{"price": "p1", "qty": 2}, {"price": "p 2"}], "meta": {"a": {"b": true}, "n": null}, "ids": [1, "x,y", null, 3]}'
\set params '{"items": "{items}", "meta": "{meta}", "ids": "{ids}"}'
SELECT style ->> 'arrays' AS arrays, style ->> 'objects' AS objects,
       integ.template_query('{"ids": "{ids}"}', :'nested', style => style) AS ids
FROM jsonb_array_elements('[{}, {"arrays": "comma"}, {"arrays": "space"}, {"arrays": "pipe"}, {"arrays": "brackets"},
                            {"arrays": "indexes"}, {"arrays": "json"}]') AS s (style);
SELECT style ->> 'arrays' AS arrays, style ->> 'objects' AS objects,
       replace(replace(integ.template_query(:'params', :'nested', style => style), '%5B', '['), '%5D', ']') AS query
FROM jsonb_array_elements('[{"arrays": "indexes", "objects": "brackets"}, {"arrays": "brackets", "objects": "brackets"},
                            {"arrays": "repeat", "objects": "dots"}, {"arrays": "json", "objects": "json"}]') AS s (style);
SELECT integ.template_query('{"ids": "{ids}"}', '{"ids": [1, "a b"]}', form => true, style => '{"arrays": "space"}');
SELECT integ.template_query('{"ids": "{ids}", "o": "{o}"}', '{"ids": [], "o": {}}', style => '{"arrays": "comma", "objects": "brackets"}');
SELECT integ.template_query('{"m": "{meta}"}', :'nested');
SELECT integ.template_query('{"m": "{items}"}', :'nested', style => '{"arrays": "comma", "objects": "brackets"}');
SELECT integ.template_query('{"m": [[1], [2]]}', '{}');
SELECT integ.template_query('{"m": [[1, 2], [3]]}', '{}', style => '{"arrays": "indexes"}');
SELECT integ.template_query('{}', '{}', style => '{"arrays": "commas"}');
SELECT name, value FROM integ.template_headers('{"Dropbox-API-Arg": {"path": "/{name}", "n": 1}, "X-List": ["a", {"b": "{name}"}]}',
                                               '{"name": "é😀\u007f\""}');

-- XML: what comes from values is escaped, what the author wrote is not; lists of texts follow each other.
SELECT $$["<Items xmlns=\"urn:x\">", {"$each": "items", "as": "i", "do": ["<Item id=\"{i.id}\">", "{i.name}", {"$if": "i.note", "then": "<Note>{i.note}</Note>"}, "</Item>"]}, "</Items>"]$$ AS xml \gset
SELECT integ.template_text(:'xml', '{"items": [{"id": "1\"2", "name": "a < b & c > d''"}, {"id": 2, "note": "x\ry\n"}]}', encoding => 'xml');
SELECT integ.template_text('"<a>{v}</a>"', '{"v": "a\u0001"}', encoding => 'xml');
SELECT integ.template_text('"<a>{v}</a>"', '{"v": "a\uffff"}', encoding => 'xml');
SELECT integ.template_text('["plain", " text", 5]', '{}', encoding => 'xml');
SELECT integ.template_text('["a", {"b": 1}]', '{}', encoding => 'xml');
SELECT integ.template_text('["{gone}", {"$each": "none", "as": "i", "do": "x"}]', '{}', encoding => 'xml') IS NULL AS absent;
