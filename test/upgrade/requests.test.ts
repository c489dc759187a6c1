/**
 * What the orchestrator says to a gateway is taken by those of every release: an orchestrator that takes a migration over keeps
 * the gateways that it was begun with, and they refuse what they do not know. The requests are what the orchestrator's own control client
 * writes to a socket, in all kinds of migrations; the schemas are written down at each release (make-requests.ts). Of the first one, 0.1.0,
 * they are those of the builds before it: until there is a second release this shows no more than that a build takes what it says itself.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import type { RouteConfig } from '@lmas/gateway-api';
import type { Prepared } from '@lmas/plugin-api';
import { Ajv } from 'ajv';
import { ControlClient } from '../../apps/orchestrator/src/gateways/control-client.ts';
import { LeaseKeeper } from '../../apps/orchestrator/src/gateways/lease-keeper.ts';
import type { SshPool } from '../../apps/orchestrator/src/gateways/ssh-pool.ts';
import { type GatewaySite, Tunnel } from '../../apps/orchestrator/src/gateways/tunnel.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { type Call, callOf, requestSchemas } from './requests.ts';

interface Request {
  readonly call: Call;
  readonly body: object;
}

const directory = join(import.meta.dirname, 'gateways');
const releases = globSync('requests-*.json', { cwd: directory }).sort();
// One that did work, to answer with.
const { identity, status } = JSON.parse(readFileSync(join(directory, '0.1.0-dev.3.json'), 'utf8'));
const requests: Request[] = [];

function answerTo(call: Call | 'GET /v1/identity' | 'GET /v1/status', body: unknown): unknown {
  if (call === 'GET /v1/identity') return identity;
  if (call === 'GET /v1/status') return status;
  if (call === 'PUT /v1/session') return { ...status.session, listening: null };
  if (call === 'POST /v1/probe') return { ...NOTHING_MEASURED };
  if (call !== 'PUT /v1/routes/:id') return null;
  const route = body as RouteConfig;
  return route.kind === 'transparent'
    ? { id: 'any', kind: route.kind, end: route.end, active: true }
    : { id: 'any', kind: route.kind, address: '192.0.2.1', port: 4_000 };
}
const NOTHING_MEASURED = {
  ...{ rttMinMs: 1, rttMedianMs: 1, goodputBitsPerSec: null, retransmits: null, mtuBytes: null, clockOffsetMs: 0 },
};

const gateway = createServer(async (incoming, outgoing) => {
  const said = await text(incoming);
  const call = callOf(incoming.method ?? '', incoming.url ?? '');
  const body: unknown = said === '' ? undefined : JSON.parse(said);
  if (body !== undefined) requests.push({ call, body: body as object });
  outgoing.end(JSON.stringify(answerTo(call, body)));
});

const SITE: GatewaySite = {
  ...{ listens: true, tunnelAddress: '192.0.2.1', listenAddress: null, tunnelPorts: { min: 7_400, max: 7_409 } },
  ...{ hypervisorAddress: '192.0.2.1', moreHypervisorAddresses: ['192.0.2.2'] },
} as unknown as GatewaySite;

const FLOW = { host: '192.0.2.9', maxStreams: 4 };
/** One of each kind: redirected, together at one address, intercepted, behind a barrier, in post-copy. */
const PREPARED = {
  flows: [
    { ...FLOW, id: 'memory', port: 49_152, priority: 'bulk' },
    { ...FLOW, id: 'control', port: 443, priority: 'interactive', addressGroup: 'pool', outlivesOutages: true },
  ],
  transparentFlows: [true, false].map((barrier) => ({
    ...{ id: `vmotion-${barrier}`, pairs: [{ source: '192.0.2.1', destination: '192.0.2.9' }], barrier },
    ...{ ports: [8_000, { from: 902, to: 903 }], maxStreams: 8, priority: 'bulk' },
  })),
  ...{ sourceAddresses: ['192.0.2.7'], state: null },
} as const satisfies Prepared;

async function record(socketPath: string): Promise<void> {
  const { signal } = new AbortController();
  const pool = {
    use: (_site: string, _signal: AbortSignal, act: (connection: object) => unknown) =>
      act({ closed: new AbortController().signal, forwardUnix: async () => connect(socketPath) }),
  } as unknown as SshPool;
  const log = createLog('silent');
  const end = (name: 'source' | 'destination') => {
    const address = { site: name, owner: 'm_1', end: name } as unknown as ConstructorParameters<
      typeof ControlClient
    >[1];
    const client = new ControlClient(pool, address, { socketPath, barrierName: 'lmas-m_1', token: 1 });
    return { gateway: client, lease: new LeaseKeeper(client, 60_000, log), site: SITE };
  };
  const options = { compression: 'auto', bandwidthBytesPerSec: 125_000_000, graceMs: 70_000 } as const;
  for (const subflows of ['auto', 4, { min: 2, max: 8 }] as const) {
    await using tunnel = new Tunnel({ source: end('source'), destination: end('destination') }, 'aes-256-gcm', log);
    await tunnel.join({ ...options, subflows }, { signal });
    tunnel.warmUp(1, async () => undefined);
    await tunnel.openRoutes(PREPARED, { signal });
    for (const rate of [1_000_000, null]) await tunnel.setBandwidth(rate, { signal });
  }
}

let workplace = '';
before(async () => {
  workplace = await mkdtemp(join(tmpdir(), 'lmas-requests-'));
  const socketPath = join(workplace, 'control.sock');
  await new Promise<void>((resolve) => gateway.listen(socketPath, resolve));
  await record(socketPath);
});
after(async () => {
  gateway.closeAllConnections();
  gateway.close();
  await rm(workplace, { recursive: true });
});

/** Which of the requests a gateway that knows `schemas` would refuse. */
function refused(schemas: Record<string, object>, all: readonly Request[]): Request[] {
  const ajv = new Ajv({ strict: false, validateFormats: false });
  const checks = new Map(
    Object.entries(schemas).map(([call, { $schema: _, ...schema }]: [string, { $schema?: string }]) => [
      call,
      ajv.compile(schema),
    ]),
  );
  return all.filter(({ call, body }) => checks.get(call)?.(body) !== true);
}

test('every call with a body is among what is recorded', () => {
  assert.deepEqual(new Set(requests.map(({ call }) => call)), new Set(Object.keys(requestSchemas())));
  const kinds = requests.flatMap(({ call, body }) =>
    call === 'PUT /v1/routes/:id' ? [(body as RouteConfig).kind] : [],
  );
  assert.deepEqual(new Set(kinds), new Set(['listen', 'dial', 'transparent']));
});

assert.ok(releases.length > 0);
for (const file of releases) {
  const schemas = JSON.parse(readFileSync(join(directory, file), 'utf8')) as Record<string, object>;
  const release = file.slice('requests-'.length, -'.json'.length);

  test(`a gateway of ${release} takes all that is said to it, and nothing that it does not know`, () => {
    assert.deepEqual(refused(schemas, requests), []);
    const later = requests.map(({ call, body }) => ({ call, body: { ...body, later: 1 } }));
    assert.deepEqual(refused(schemas, later), later);
  });
}

test('so does this build’s', () => {
  assert.deepEqual(refused(requestSchemas(), requests), []);
});
