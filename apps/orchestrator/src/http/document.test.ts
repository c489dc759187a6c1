/** The document as a reader meets it: nothing without words, nothing without an example, no error without its code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeCode, type OrchestratorErrorCode } from '../errors.ts';
import { openApiDocument } from '../openapi-document.ts';

interface BodySchema {
  $ref?: string;
  examples?: unknown[];
  anyOf?: BodySchema[];
}
interface Operation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  requestBody?: { content: Record<string, { schema: BodySchema }> };
  responses: Record<string, { content?: Record<string, { examples?: Record<string, unknown> }> }>;
}
interface Document {
  openapi: string;
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { examples?: unknown[] }> };
}

const document = (await openApiDocument()) as Document;
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, ...operation })),
);

test('it is OpenAPI 3.1, and every operation has a name of its own', () => {
  assert.match(document.openapi, /^3\.1\./);
  const names = operations.map(({ operationId }) => operationId);
  assert.ok(names.every(Boolean));
  assert.equal(new Set(names).size, names.length);
});

/** Every property that a schema somewhere in the document names. */
function* propertyNames(schema: unknown): Generator<string> {
  if (typeof schema !== 'object' || schema === null) return;
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties' && typeof value === 'object' && value !== null) yield* Object.keys(value);
    yield* propertyNames(value);
  }
}

test('a stretch of time is a number of milliseconds, and its name says so', () => {
  const names = new Set(propertyNames(document));
  assert.ok(names.has('durationMs') && names.has('intervalMs'));
  const isStretch = /(duration|timeout|interval|pause|grace|cooldown|delay|within|horizon|latency|period|ttl)$/i;
  const otherUnit = /(?<!Per)(Seconds?|Secs?|Minutes?|Mins?|Hours?|Days)$/;
  assert.deepEqual(
    [...names].filter((name) => isStretch.test(name) || otherUnit.test(name)),
    [],
  );
});

for (const { name, summary, description, tags, responses, requestBody } of operations) {
  test(`${name} says what it is for, and what may go wrong`, () => {
    assert.ok(summary && summary.length < 60, 'summary');
    assert.ok(description && description.length > 10, 'description');
    assert.ok(
      tags?.every((tag) => document.tags.some((known) => known.name === tag)),
      'tags',
    );
    if (!name.includes('/v1/')) return;
    for (const status of ['400', '401', '403', '503', 'default']) assert.ok(status in responses, status);
    const documented = Object.entries(responses).flatMap(([status, { content }]) =>
      Object.keys(content?.['application/problem+json']?.examples ?? {}).map((code) => ({ status, code })),
    );
    for (const { status, code } of documented) {
      assert.equal(String(describeCode(code as OrchestratorErrorCode).httpStatus), status, code);
    }
    const body = requestBody?.content['application/json']?.schema;
    // A body that may be left out: its schema, or null.
    const schema = body?.anyOf?.find(({ $ref }) => $ref !== undefined) ?? body;
    if (schema === undefined) return;
    const resolved =
      schema.$ref === undefined ? schema : document.components.schemas[schema.$ref.split('/').at(-1) ?? ''];
    assert.ok((resolved?.examples?.length ?? 0) > 0, 'an example of the body');
  });
}
