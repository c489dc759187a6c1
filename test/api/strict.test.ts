/**
 * What a route does not know is refused and named, wherever it stands: at every operation of the OpenAPI document, in its query, at the
 * top of its body, and in whatever its body holds. On a real server and a real Redis.
 */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { openApiDocument } from '../../apps/orchestrator/src/openapi-document.ts';
import { Api, startInProcess, temporaryDirectory } from '../workflow/harness.ts';
import { type Document, type Operation, operationsOf } from './garbage.ts';

const SURPLUS = 'surplusWish';
const UUID = '00000000-0000-4000-8000-000000000000';
const HEX = 'a'.repeat(32);
/** One of them has the shape that a path wants; nothing of that name has to be there. */
const NAMES = ['a', 'a'.repeat(12), 'a~b', `m_${UUID}`, `r_${UUID}`, `b_${UUID}`, `bm_${HEX}`, `msg_${HEX}`];
/** Names in these are the caller's own, or the plugin's, which are checked against the plugin's schema. */
const FREE = new Set([
  'config',
  'options',
  'labels',
  'networkMap',
  'diskMap',
  'networks',
  'storage',
  'networkCapacityBytesPerSec',
]);

interface Parameter {
  readonly in: string;
  readonly name: string;
  readonly schema: { readonly $ref?: string; readonly pattern?: string };
}
const document = await openApiDocument();
const shapes = document as unknown as {
  readonly components: { readonly schemas: Record<string, { readonly pattern?: string }> };
  readonly paths: Record<string, Record<string, { readonly parameters?: Parameter[] }>>;
};
const operations = operationsOf(document as unknown as Document).filter(({ path }) => path.startsWith('/v1/'));
const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;

before(async () => {
  orchestrator = await startInProcess(directory.path);
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

/** Its path with names of the right shape. */
function addressOf({ method, path }: Operation): string {
  const parameters = shapes.paths[path]?.[method.toLowerCase()]?.parameters ?? [];
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const schema = parameters.find((each) => each.in === 'path' && each.name === name)?.schema;
    const { pattern } = shapes.components.schemas[schema?.$ref?.split('/').at(-1) ?? ''] ?? schema ?? {};
    const fitting = NAMES.find((each) => new RegExp(pattern ?? '').test(each));
    assert.ok(pattern !== undefined && fitting !== undefined, `${path}: a name for ${name} (${pattern})`);
    return encodeURIComponent(fitting);
  });
}

/** The same body once for each object in it whose names are the schema's, with something in there that no schema knows. */
function* withSurplus(body: unknown): Generator<unknown> {
  if (typeof body !== 'object' || body === null) return;
  if (!Array.isArray(body)) yield { ...body, [SURPLUS]: true };
  for (const [name, part] of Object.entries(body)) {
    if (FREE.has(name)) continue;
    for (const changed of withSurplus(part)) {
      yield Array.isArray(body) ? body.with(Number(name), changed) : { ...body, [name]: changed };
    }
  }
}

async function refused(operation: Operation, address: string, body: unknown): Promise<void> {
  const answer = await api.call(operation.method, address, body);
  const said = `${operation.id} ${JSON.stringify(body)}: ${answer.status} ${JSON.stringify(answer.body)}`;
  const { code, errors = [] } = answer.body as { code?: string; errors?: { path: string; message: string }[] };
  assert.deepEqual([answer.status, code], [400, 'INVALID_REQUEST'], said);
  assert.ok(
    errors.some(({ path, message }) => `${path} ${message}`.includes(SURPLUS)),
    said,
  );
}

for (const operation of operations) {
  test(`${operation.method} ${operation.path} refuses what it does not know`, async () => {
    const address = addressOf(operation);
    const { examples } = operation;
    await refused(operation, `${address}?${SURPLUS}=1`, examples[0]);
    for (const body of examples.flatMap((example) => [...withSurplus(example)]))
      await refused(operation, address, body);
    if (examples.length === 0 && operation.method !== 'GET') await refused(operation, address, { [SURPLUS]: true });
  });
}

test('a GET that brings a body is refused, as whatever it wishes would be ignored', async () => {
  const get = (body: string) =>
    new Promise<{ status: number; said: string }>((resolve, reject) => {
      const headers = {
        ...{ authorization: `Bearer ${api.key}`, 'content-type': 'application/json' },
        'content-length': Buffer.byteLength(body),
      };
      const sent = request(`${api.url}/v1/sites`, { method: 'GET', headers }, async (response) => {
        resolve({ status: response.statusCode ?? 0, said: await text(response) });
      });
      sent.on('error', reject).end(body);
    });
  const { status, said } = await get('{"limit":1}');
  assert.equal(status, 400, said);
  assert.match(said, /INVALID_REQUEST.*this call takes no body/);
  assert.equal((await get('')).status, 200);
});

test('what says nothing is no surplus: an empty body where none is wanted, the parameters of a scrape', async () => {
  const { status } = await api.call('POST', `/v1/migrations/m_${UUID}/cancel`, {});
  assert.equal(status, 404);
  const scrape = await fetch(`${api.url}/metrics?collect=all`, { headers: { authorization: `Bearer ${api.key}` } });
  assert.equal(scrape.status, 200);
  await scrape.text();
});

test('HEAD at the probes is answered as GET is, without a body', async () => {
  for (const path of ['/healthz', '/readyz']) {
    const [head, get] = await Promise.all(['HEAD', 'GET'].map((method) => fetch(api.url + path, { method })));
    assert.ok(head !== undefined && get !== undefined);
    assert.equal(head.status, 200, path);
    assert.equal(head.headers.get('content-type'), get.headers.get('content-type'));
    assert.deepEqual([await head.text(), (await get.text()) !== ''], ['', true]);
  }
});
