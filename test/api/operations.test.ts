/**
 * Everything that the API has is in the command line: each operation of the OpenAPI document is reached by a method of the client,
 * and that by a command. Found out by calling every method, and by reading what the commands call.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { createLmasClient } from '../../packages/client/src/index.ts';

const ROOT = path.join(import.meta.dirname, '../..');

/** Why no command is needed for these. */
const WITHOUT_A_COMMAND: Readonly<Record<string, string>> = {
  getHealth: 'for load balancers, which want a status and no words; `lmas version` asks for readiness',
};

interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: RegExp;
}

function operations(): Operation[] {
  const file = path.join(ROOT, 'packages/client/openapi.json');
  const { paths } = JSON.parse(readFileSync(file, 'utf8')) as {
    paths: Record<string, Record<string, { operationId: string }>>;
  };
  // What has no parameter stands first: `/v1/schedules/preview` is none of `/v1/schedules/{id}`.
  const sorted = Object.entries(paths).sort(([a], [b]) => a.split('{').length - b.split('{').length);
  return sorted.flatMap(([template, methods]) =>
    Object.entries(methods).map(([method, { operationId }]) => ({
      id: operationId,
      method: method.toUpperCase(),
      path: new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
    })),
  );
}

const OPERATIONS = operations();

/** Calls every method with every kind of arguments it may want. @returns operation → methods that reach it */
async function reachedBy(): Promise<Map<string, Set<string>>> {
  const reached = new Map<string, Set<string>>();
  let caller = '';
  const client = createLmasClient({
    ...{ baseUrl: 'http://192.0.2.1', apiKey: 'k' },
    fetch: async (input, init) => {
      const { url, method } = new Request(input, init);
      const { pathname } = new URL(url);
      const found = OPERATIONS.find((one) => one.method === method && one.path.test(pathname));
      assert.ok(found !== undefined, `${caller}: ${method} ${pathname} is no operation`);
      reached.set(found.id, (reached.get(found.id) ?? new Set()).add(caller));
      // What reads before it writes goes on.
      return Response.json({ items: [], id: 'x' });
    },
  });
  const orders = ['pause', 'resume', 'approve', 'cancel', 'retry', 'fail-back'];
  const argumentLists = [
    ['x', 'x', {}],
    [null, {}, {}],
    ['x', false, {}],
    ['x', () => ({}), {}],
    ...orders.map((order) => ['x', order, {}]),
  ];
  for (const [name, method] of Object.entries(client)) {
    if (typeof method !== 'function' || name.startsWith('watch')) continue;
    caller = name;
    for (const args of argumentLists) {
      // Some of these lists fit no method; what counts is what was asked for.
      const result: unknown = await new Promise((resolve) => resolve(Reflect.apply(method, client, args))).catch(
        () => undefined,
      );
      if (typeof result === 'object' && result !== null && Symbol.asyncIterator in result) {
        await (result as AsyncGenerator).next().catch(() => undefined);
      }
    }
  }
  for (const name of ['watchMigration', 'watchPlanRun', 'watchBalancingPolicy']) reached.set(name, new Set([name]));
  reached.set('watchMigrations', new Set(['watchNotices']));
  return reached;
}

function commandSources(): string {
  const files = globSync('apps/cli/src/**/*.ts', { cwd: ROOT }).filter((file) => !/test|fake/.test(file));
  return files.map((file) => readFileSync(path.join(ROOT, file), 'utf8')).join('\n');
}

test('every operation of the API is reached by a command', async () => {
  const [reached, sources] = [await reachedBy(), commandSources()];
  const isCalled = (method: string) => new RegExp(`[.'"]${method}\\b`).test(sources);
  const missing = OPERATIONS.map(({ id }) => id).filter((id) => ![...(reached.get(id) ?? [])].some(isCalled));
  assert.deepEqual(missing.sort(), Object.keys(WITHOUT_A_COMMAND).sort());
});
