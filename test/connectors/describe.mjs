// A vendor's description as a mock server can use it: cut down to the requests
// that a manifest makes, and mended where the vendor's document is known to be
// wrong or Prism would not check it.
//
//   node describe.mjs DESCRIPTION REQUESTS OUTPUT [VENDOR]
//
// REQUESTS is a JSON list of {"request": "METHOD /path/{with}/{placeholders}",
// "query": ["name", …], "form": ["name", …]}. Prints what the description does not have, a line each:
// Prism itself lets unknown parameters and members pass.
import { readFileSync, writeFileSync } from 'fs';
import { createRequire } from 'module';

const [input, requests, output, vendor] = process.argv.slice(2);
const text = readFileSync(input, 'utf8');
const wanted = JSON.parse(readFileSync(requests, 'utf8'));
let document = text.trimStart().startsWith('{') ? JSON.parse(text) : createRequire(import.meta.url)('@stoplight/yaml').parse(text);

// Placeholders by position: the names are the vendor's own business.
const shape = (path) => path.replace(/\{[^}]*\}/g, '{}');

function walk(node, visit) {
    if (node === null || typeof node !== 'object') return;
    visit(node);
    for (const child of Object.values(node)) walk(child, visit);
}

const at = (ref) => ref.split('/').slice(1).reduce((node, key) => node[key.replace(/~1/g, '/').replace(/~0/g, '~')], document);

// Swagger 2 has forms as parameters and cannot say that JSON is taken as well.
function fromSwagger(old) {
    const operation = (op) => {
        const fields = (op.parameters ?? []).filter((p) => p.in === 'formData');
        const schema = { type: 'object', properties: {}, required: [], additionalProperties: false };
        for (const { name, in: place, required, ...rest } of fields) {
            schema.properties[name] = rest;
            if (required) schema.required.push(name);
        }
        const responses = {};
        for (const [code, { description, schema: answer, examples }] of Object.entries(op.responses))
            responses[code] = { description, content: { 'application/json': { schema: answer ?? {}, example: examples?.['application/json'] } } };
        return {
            operationId: op.operationId,
            parameters: (op.parameters ?? []).filter((p) => p.in !== 'formData')
                .map(({ name, in: place, required, description, ...schema }) => ({ name, in: place, required, schema })),
            ...(fields.length ? { requestBody: { required: true, content: { 'application/json': { schema } } } } : {}),
            responses,
        };
    };
    const paths = {};
    for (const [path, item] of Object.entries(old.paths))
        paths[path] = Object.fromEntries(Object.entries(item).map(([method, op]) => [method, operation(op)]));
    const result = { openapi: '3.0.3', info: old.info, paths, components: { schemas: old.definitions ?? {} } };
    walk(result, (node) => {
        if (typeof node.$ref === 'string') node.$ref = node.$ref.replace('#/definitions/', '#/components/schemas/');
    });
    return result;
}

// Where a vendor's document differs from the service that it describes.
const corrections = {
    // Tokens go into the header Authorization today; a timestamp is text (as a number it loses digits), as is
    // post_at a number; blocks are JSON where the body is.
    slack(d) {
        for (const item of Object.values(d.paths))
            for (const op of Object.values(item)) {
                op.parameters = op.parameters.filter((p) => p.name !== 'token');
                op.security = [{ bearer: [] }];
                const body = op.requestBody?.content['application/json'].schema.properties ?? {};
                for (const [name, schema] of [...Object.entries(body), ...op.parameters.map((p) => [p.name, p.schema])])
                    if (['ts', 'thread_ts', 'oldest', 'latest', 'timestamp'].includes(name)) schema.type = 'string';
                if (body.post_at) body.post_at.type = 'integer';
                if (body.blocks) body.blocks = { type: 'array', items: { type: 'object' } };
            }
        d.components.securitySchemes = { bearer: { type: 'http', scheme: 'bearer' } };
    },
    // The description names no way to authenticate.
    github(d) {
        d.components.securitySchemes = { bearer: { type: 'http', scheme: 'bearer' } };
        d.security = [{ bearer: [] }];
    },
    // It knows nothing of what lists answer, nor that pages can be sorted by time.
    notion(d) {
        const page = { object: 'list', results: [], next_cursor: null, has_more: false };
        for (const item of Object.values(d.paths))
            for (const op of Object.values(item)) {
                const fields = op.requestBody?.content['application/json'].schema.properties ?? {};
                const answer = op.responses?.['200']?.content?.['application/json'];
                if (answer && !answer.schema?.properties && (fields.page_size || op.parameters?.some((p) => p.name === 'page_size')))
                    answer.example = page;
            }
        // "type" stands for the block's own type.
        const block = d.paths['/v1/blocks/{block_id}']?.patch?.requestBody.content['application/json'].schema;
        if (block) block.additionalProperties = { type: 'object' };
        const sort = d.components.schemas.sortObject;
        if (sort) Object.assign(sort, { required: ['direction'], properties: { ...sort.properties, timestamp: { type: 'string' } } });
    },
    // Its answers are one graph of objects that hold each other, which costs Prism minutes: samples instead.
    stripe(d) {
        for (const item of Object.values(d.paths))
            for (const op of Object.values(item))
                for (const response of Object.values(op.responses ?? {}))
                    for (const content of Object.values(response.content ?? {}))
                        Object.assign(content, { example: sample(d, content.schema, 0), schema: {} });
    },
};

// A document that a schema describes: required members only, and the shortest of alternatives.
function sample(d, schema, depth) {
    if (schema.$ref) return sample(d, d.components.schemas[schema.$ref.split('/').pop()], depth);
    if (schema.anyOf) return sample(d, schema.anyOf.find((one) => one.type === 'string') ?? schema.anyOf[0], depth);
    if (schema.enum) return schema.enum[0];
    if (schema.type === 'array') return depth < 2 ? [sample(d, schema.items, depth + 1)] : [];
    if (schema.type === 'object')
        return Object.fromEntries((schema.required ?? []).map((key) => [key, depth < 3 ? sample(d, schema.properties[key], depth + 1) : {}]));
    return { string: 'text', integer: 1, number: 1, boolean: true }[schema.type] ?? null;
}

// What is not as described Prism then tells itself, with its reasons.
function successesOnly() {
    for (const item of Object.values(document.paths))
        for (const op of Object.values(item))
            for (const code of Object.keys(op.responses ?? {})) if (!code.startsWith('2')) delete op.responses[code];
}

// What the vendor describes in another document.
const additions = {
    xero(d) {
        const tenant = { id: '70784a63-d24b-46a9-a4db-0e70a274b056', tenantId: 'c3d5e782-2153-4cda-bdb4-cec791ceb90d',
            tenantType: 'ORGANISATION', tenantName: 'Maple Florists Ltd' };
        const content = { 'application/json': { schema: {}, example: [tenant] } };
        d.paths['/connections'] = { get: { security: [{ OAuth2: [] }], responses: { 200: { description: 'Tenants', content } } } };
    },
};

function cut() {
    const missing = [];
    const paths = {};
    for (const { request, query, form } of wanted) {
        const [method, path] = request.split(' ');
        const verb = method.toLowerCase();
        const name = Object.keys(document.paths).find((name) => shape(name) === shape(path) && document.paths[name][verb]);
        if (name === undefined) {
            missing.push(request);
            continue;
        }
        paths[name] ??= document.paths[name].parameters ? { parameters: document.paths[name].parameters } : {};
        paths[name][verb] = document.paths[name][verb];
        const known = [...(document.paths[name].parameters ?? []), ...(paths[name][verb].parameters ?? [])]
            .map((parameter) => (parameter.$ref ? at(parameter.$ref) : parameter).name);
        // expand[] and created[gte] are elements of the parameters expand and created.
        for (const parameter of query) if (!known.includes(parameter.replace(/\[.*/, ''))) missing.push(`${request}: ${parameter}`);
        const fields = paths[name][verb].requestBody?.content['application/x-www-form-urlencoded']?.schema.properties ?? {};
        for (const field of form) if (!(field in fields)) missing.push(`${request}: ${field}`);
    }
    document.paths = paths;
    return missing;
}

// Only what the remaining paths lead to: the rest costs the mock server its time.
function prune() {
    const used = new Set();
    const follow = (node) => walk(node, ({ $ref: ref }) => {
        if (typeof ref !== 'string' || used.has(ref)) return;
        used.add(ref);
        follow(at(ref));
    });
    follow(document.paths);
    for (const [kind, items] of Object.entries(document.components ?? {}))
        if (kind !== 'securitySchemes')
            for (const name of Object.keys(items))
                if (!used.has(`#/components/${kind}/${name.replace(/~/g, '~0').replace(/\//g, '~1')}`)) delete items[name];
}

// Prism cannot read a list of objects from a form: the members of its first element as fields by their whole names,
// of which the first is wanted, so that it is known to have arrived under that name.
function firstElements() {
    for (const item of Object.values(document.paths))
        for (const op of Object.values(item)) {
            const form = op.requestBody?.content?.['application/x-www-form-urlencoded'];
            for (const [name, property] of Object.entries(form?.schema.properties ?? {})) {
                if (property.items?.type !== 'object' || !elements[`${op.operationId}.${name}`]) continue;
                delete form.schema.properties[name];
                for (const [member, schema] of Object.entries(property.items.properties))
                    if (!schema.properties && !schema.anyOf) form.schema.properties[`${name}[0][${member}]`] = schema;
                form.schema.required = [...(form.schema.required ?? []), `${name}[0][${elements[`${op.operationId}.${name}`]}]`];
            }
        }
}
const elements = { 'PostSubscriptions.items': 'price', 'PostCheckoutSessions.line_items': 'price' };

// Prism reads an absent object of a form as an empty one, which must not lack anything then.
function optionalObjects() {
    for (const item of Object.values(document.paths))
        for (const op of Object.values(item)) {
            const form = op.requestBody?.content?.['application/x-www-form-urlencoded'];
            for (const property of Object.values(form?.schema.properties ?? {})) walk(property, (node) => delete node.required);
        }
}

// A member that the description does not have is a misspelled one.
function strict() {
    const close = (schema) => {
        const target = schema?.$ref ? at(schema.$ref) : schema;
        if (target?.type === 'array') close(target.items);
        if (target?.properties && !('additionalProperties' in target)) target.additionalProperties = false;
    };
    for (const item of Object.values(document.paths))
        for (const op of Object.values(item))
            for (const content of Object.values(op.requestBody?.content ?? {})) close(content.schema);
}

// Where the vendor gives an example, Prism need not hold it against a schema: that takes most of its time.
function examplesOnly() {
    for (const item of Object.values(document.paths))
        for (const op of Object.values(item))
            for (const response of Object.values(op.responses ?? {}))
                for (const content of Object.values(response.content ?? {}))
                    if (content.example || Object.keys(content.examples ?? {}).length) content.schema = {};
}

// With "nullable" but no "type" Prism's validator refuses the schema, and Prism then checks nothing.
const nullable = () => walk(document, (node) => {
    if (node.nullable === true && !('type' in node)) delete node.nullable;
});

if (document.swagger) document = fromSwagger(document);
// Without servers: paths are those of the mock server's root. Webhooks are another matter.
document = { openapi: document.openapi, info: document.info, security: document.security, paths: document.paths, components: document.components };
additions[vendor]?.(document);
const missing = cut();
successesOnly();
corrections[vendor]?.(document);
examplesOnly();
prune();
strict();
optionalObjects();
firstElements();
nullable();
writeFileSync(output, JSON.stringify(document));
for (const request of missing) console.log(request);
