import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyEvacuation, inWords, requestOf } from './evacuation-draft.ts';

test('an evacuation that is filled in asks for what its fields say', () => {
  const draft = {
    ...emptyEvacuation,
    source: 'site:lisbon',
    destination: 'endpoint:host-b',
    transport: 'direct',
  } as const;
  assert.deepEqual(
    requestOf({
      ...draft,
      except: 'db-1, db-2,',
      first: ' dc-1 ',
      order: 'largest',
      memory: 'overcommit',
      cordon: true,
    }),
    {
      ...{ source: { site: 'lisbon' }, destination: { endpoint: 'host-b' }, except: ['db-1', 'db-2'], first: ['dc-1'] },
      ...{
        order: 'largest',
        concurrency: 2,
        onFailure: 'go-on',
        poweredOff: 'move',
        silent: 'leave',
        memory: 'overcommit',
        cordon: true,
      },
      migration: { transport: 'direct' },
    },
  );
});

test('what is said against it is said of the fields, in their words', () => {
  const complain = (path: string) => inWords({ path, message: '' }).path;
  assert.deepEqual(['waves.0.vms.0.first', 'except.3', 'concurrency', 'waves.0', 'migration.transport'].map(complain), [
    'Begin first',
    'Except',
    'So many at once',
    'waves.0',
    'migration.transport',
  ]);
});
