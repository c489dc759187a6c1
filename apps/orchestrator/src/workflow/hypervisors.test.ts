/** The connections of a run, with scripted endpoints: how often each is asked. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type EndpointSession, PluginError, type PluginResource } from '@lmas/plugin-api';
import { createLog } from '../log.ts';
import { newMigrationId, newRecord } from '../migrations/record.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { Hypervisors } from './hypervisors.ts';
import type { Run } from './run.ts';
import type { Tools } from './tools.ts';

const signal = new AbortController().signal;
const away = new PluginError('UNREACHABLE', 'No route to host.');

/** Endpoints a (source) and b (destination), of which some do not answer. */
function scripted(silent: Set<string>) {
  const asked: string[] = [];
  const cuts = new Map<string, () => void>();
  const plugin = {
    name: 'scripted',
    optionsSchema: { parse: () => ({}) },
    migration: () => ({ release: async () => undefined }),
  };
  const opened = (endpoint: string, isStandIn = false) => {
    const closed = new AbortController();
    if (isStandIn) closed.abort(away);
    cuts.set(endpoint, () => closed.abort(new PluginError('CONNECTION_LOST', 'cut')));
    const session = { closed: closed.signal, close: async () => closed.abort() } as unknown as EndpointSession;
    return { plugin, session };
  };
  const connector = {
    async connect(endpoint: string) {
      asked.push(endpoint);
      if (silent.has(endpoint)) throw away;
      return opened(endpoint);
    },
    unreachable: async (endpoint: string) => opened(endpoint, true),
  };
  const request = migrationInputSchema.parse({ vm: 'web', source: 'a', destination: 'b', transport: 'direct' });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  const run = {
    ...record,
    id: record.migration.id,
    token: 1,
    log: createLog('silent'),
    lost: signal,
  } as unknown as Run;
  const sites = { get: async () => undefined };
  const tools = { connector, sites, changes: { get: async () => ({}) } } as unknown as Tools;
  return { hypervisors: new Hypervisors(run, tools), asked, cut: (endpoint: string) => cuts.get(endpoint)?.() };
}

const ofTheMove = (end: PluginResource['end'], id: string): PluginResource => ({
  ...{ kind: 'route', id, end, data: {}, lifetime: 'migration' },
});

describe('what served the move alone is taken away while one end is silent', () => {
  test('the silent end is asked once for all of it', async () => {
    const { hypervisors, asked } = scripted(new Set(['b']));
    for (const id of ['1', '2', '3']) await hypervisors.releaser(ofTheMove('source', id), { signal });
    for (const id of ['4', '5'])
      await assert.rejects(hypervisors.releaser(ofTheMove('destination', id), { signal }), away);
    assert.deepEqual(asked, ['a', 'b']);
  });

  test('what goes with the VM is taken away whichever end is silent, but not while both are', async () => {
    for (const silent of ['a', 'b']) {
      const { hypervisors } = scripted(new Set([silent]));
      await hypervisors.releaser({ ...ofTheMove('source', '1'), atEitherEnd: true }, { signal });
    }
    const { hypervisors } = scripted(new Set(['a', 'b']));
    await assert.rejects(hypervisors.releaser({ ...ofTheMove('source', '1'), atEitherEnd: true }, { signal }));
  });

  test('both are asked again once the other one is lost as well, or somebody else has asked since', async () => {
    const silent = new Set(['b']);
    const { hypervisors, asked, cut } = scripted(silent);
    await hypervisors.releaser(ofTheMove('source', '1'), { signal });
    cut('a');
    await hypervisors.releaser(ofTheMove('source', '2'), { signal });
    assert.deepEqual(asked, ['a', 'b', 'a', 'b']);
    silent.clear();
    await hypervisors.driverOfWhoAnswers({ signal });
    await hypervisors.releaser(ofTheMove('destination', '3'), { signal });
    assert.deepEqual(asked.slice(4), ['a', 'b'], 'it has come back');
  });
});

test('why an end is silent is known for as long as a stand-in speaks for it', async () => {
  const silent = new Set(['b']);
  const { hypervisors, cut } = scripted(silent);
  await hypervisors.driverOfWhoAnswers({ signal });
  assert.deepEqual([hypervisors.whySilent('source'), hypervisors.whySilent('destination')], [undefined, away]);
  silent.clear();
  cut('a');
  await hypervisors.driverOfWhoAnswers({ signal });
  assert.equal(hypervisors.whySilent('destination'), undefined);
});
