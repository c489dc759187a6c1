import assert from 'node:assert/strict';
import { test } from 'node:test';
import Fastify from 'fastify';
import { type Principal, ROLES, type Role, roleIncludes } from '../access/principal.ts';
import { LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import { openApiDocument } from '../openapi-document.ts';
import { guardRoutes } from './access.ts';
import { ROUTE_ACCESS } from './route-access.ts';
import { buildServer } from './server.ts';
import type { Services } from './services.ts';

interface Operation {
  readonly operationId?: string;
  readonly security?: readonly object[];
}

async function operations(): Promise<{ where: string; operation: Operation }[]> {
  const { paths } = (await openApiDocument()) as { paths: Record<string, Record<string, Operation>> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ where: `${method.toUpperCase()} ${path}`, operation })),
  );
}

test('every operation of the OpenAPI document has a line in the table, and is open only if the document says so', async () => {
  const all = await operations();
  assert.ok(all.length > 20);
  for (const { where, operation } of all) {
    const entry = ROUTE_ACCESS[operation.operationId ?? ''];
    assert.ok(entry !== undefined, `${where} has no line in http/route-access.ts`);
    assert.equal(entry === 'open', operation.security?.length === 0, where);
    assert.equal(entry === 'open', / \/(healthz|readyz)$/.test(where), `${where}: nothing else is open`);
    if (entry !== 'open' && !where.startsWith('GET ')) {
      assert.notEqual(entry.role, 'viewer', `${where} changes something, or reaches out: not for viewers`);
    }
  }
});

test('every line of the table is of an operation that exists', async () => {
  const known = new Set((await operations()).map(({ operation }) => operation.operationId));
  assert.deepEqual(
    Object.keys(ROUTE_ACCESS).filter((operation) => !known.has(operation)),
    [],
  );
});

test('a route without a line, or with an open one, cannot be registered behind the guard', () => {
  const limits = { countCall: async () => undefined, countFailedLogin: async () => undefined };
  const access = {
    authenticator: { authenticate: async () => Promise.reject(new LmasError('UNAUTHENTICATED')) },
    limits,
    outage: () => undefined,
  };
  for (const operationId of ['paintItBlack', 'getHealth', undefined]) {
    const app = Fastify();
    guardRoutes(app, access);
    const schema = operationId === undefined ? {} : { operationId };
    assert.throws(() => app.get('/v1/x', { schema }, async () => 'x'), /no line in http\/route-access/);
  }
});

test('as served: a stranger gets 401 everywhere, and each role is refused exactly what is above it', async () => {
  const login = (role: Role, project: string | null): Principal => ({
    ...{ kind: 'api-key', id: 'k', name: 'n', role, project, operations: null, expiresAt: null },
  });
  const authenticate = async (text: string) => {
    const [role = '', project = ''] = text.split('/');
    if (!ROLES.includes(role as Role)) throw new LmasError('UNAUTHENTICATED');
    return login(role as Role, project || null);
  };
  // No service is there: whoever gets past the guard meets a 4xx of the validation or a 500, and that is all we ask.
  const audit = { record: async () => undefined };
  const { signal: stopping } = new AbortController();
  const services = { authenticator: { authenticate }, audit, outage: () => undefined, stopping } as unknown as Services;
  const app = buildServer(services, { log: createLog('silent') });
  const status = async (where: string, token: string): Promise<number> => {
    const [method = '', path = ''] = where.split(' ');
    const url = path.replaceAll(/\{[^}]+\}/g, 'x');
    const options = { method: method as 'GET', url, headers: { authorization: `Bearer ${token}` } };
    return (await app.inject(options)).statusCode;
  };
  try {
    for (const { where, operation } of await operations()) {
      const entry = ROUTE_ACCESS[operation.operationId ?? ''];
      if (entry === undefined || entry === 'open') continue;
      assert.equal(await status(where, 'stranger'), 401, where);
      for (const role of ROLES) {
        const allowed: boolean = roleIncludes(role, entry.role);
        assert.equal((await status(where, role)) !== 403, allowed, `${where} as ${role}`);
        const inProject: boolean = allowed && !entry.wholeInstallation;
        assert.equal((await status(where, `${role}/p`)) !== 403, inProject, `${where} as ${role} of a project`);
      }
    }
  } finally {
    await app.close();
  }
});
