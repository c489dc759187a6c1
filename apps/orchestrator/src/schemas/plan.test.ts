/** What people write into plans has limits; what stands in records is read whatever is in it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { balancingSettingsSchema } from './balancing.ts';
import { evacuationInputSchema, planBodySchema, planSchema } from './plan.ts';
import { scheduleTriggerSchema } from './schedule.ts';

const place = { endpoint: 'host-a' };
const bodyOf = (selector: object, more: object = {}) => ({
  waves: [{ vms: [{ source: place, destination: { endpoint: 'host-b' }, ...selector }] }],
  ...more,
});
const long = 'n'.repeat(257);
const many = Object.fromEntries(Array.from({ length: 501 }, (_, index) => [`net-${index}`, 'br0']));

test('no text of a plan is long or steers a terminal, no list is without an end', () => {
  const host = { kind: 'host', source: 'host-a' };
  const mapping = { source: 'lisbon', destination: 'porto' };
  assert.ok(planBodySchema.safeParse(bodyOf({ kind: 'vm', vm: 'db-1' })).success);
  for (const [what, body] of Object.entries({
    vm: bodyOf({ kind: 'vm', vm: long }),
    control: bodyOf({ kind: 'vm', vm: 'db\u001b[2J' }),
    label: bodyOf({ kind: 'label', label: long }),
    except: bodyOf({ ...host, except: [long] }),
    networkMap: bodyOf({ kind: 'vm', vm: 'db-1', networkMap: { br0: 'n'.repeat(1_025) } }),
    diskMap: bodyOf({ kind: 'vm', vm: 'db-1', diskMap: many }),
    networks: bodyOf(host, { mappings: [{ ...mapping, networks: many }] }),
    storage: bodyOf(host, { mappings: [{ ...mapping, storage: { '/srv\n': '/srv' } }] }),
  })) {
    assert.ok(!planBodySchema.safeParse(body).success, what);
  }
  const evacuation = { source: place, destination: { endpoint: 'host-b' } };
  assert.ok(evacuationInputSchema.safeParse({ ...evacuation, except: ['db-1'] }).success);
  assert.ok(!evacuationInputSchema.safeParse({ ...evacuation, except: [long] }).success);
});

test('nor of a schedule, nor of a balancing policy', () => {
  const at = `2030-01-01T00:00:00.${'0'.repeat(50)}Z`;
  assert.ok(!scheduleTriggerSchema.safeParse({ kind: 'once', at }).success);
  const endpoints = ['host-a', 'host-b'];
  assert.ok(!balancingSettingsSchema.safeParse({ endpoints, rules: { pinned: ['p'.repeat(263)] } }).success);
  const networkCapacityBytesPerSec = Object.fromEntries(Object.keys(many).map((name) => [name, 1e9]));
  assert.ok(!balancingSettingsSchema.safeParse({ endpoints, networkCapacityBytesPerSec }).success);
});

test('records from before these limits are still read', () => {
  const at = '2026-01-01T00:00:00.000Z';
  const body = bodyOf({ kind: 'vm', vm: `${long}\n`, diskMap: many });
  const plan = planSchema.parse({ id: 'old', project: null, createdAt: at, changedAt: at, ...body });
  const [selector] = plan.waves[0]?.vms ?? [];
  assert.ok(selector?.kind === 'vm' && selector.vm === `${long}\n`);
});
