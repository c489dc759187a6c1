/** Plans that run after each other: circles are told, and looking for them takes no longer than there are plans. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Scope } from '../access/scope.ts';
import { planBodySchema } from '../schemas/plan.ts';
import { createAddressGuard } from '../webhooks/address-guard.ts';
import { complaintsAbout } from './complaints.ts';

const nothing = { list: async () => [] };
const scope = { endpoints: nothing, sites: nothing } as unknown as Scope;
const { signal } = new AbortController();

/** What is said of the order of a plan called `new` that runs after these, and how often somebody was looked up. */
async function ordered(after: string[], plans: Record<string, string[]>) {
  let looks = 0;
  const vms = [{ kind: 'host', source: 'nowhere', destination: { endpoint: 'elsewhere' } }];
  const body = planBodySchema.parse({ waves: [{ vms }], after });
  const findPlan = async (id: string) => {
    looks += 1;
    return plans[id] && { after: plans[id] };
  };
  const issues = await complaintsAbout('new', body, { scope, guard: createAddressGuard([]), findPlan }, { signal });
  const told = issues.filter(({ path }) => path.startsWith('after')).map(({ path, message }) => `${path}: ${message}`);
  return { told, looks };
}

test('a circle is told with the way around it, wherever it begins', async () => {
  const plans = { a: ['b'], b: ['c', 'd'], c: [], d: ['new'] };
  assert.deepEqual((await ordered(['c', 'a', 'b', 'new', 'e'], plans)).told, [
    'after.1: goes in a circle: new after a after b after d after new',
    'after.2: goes in a circle: new after b after d after new',
    'after.3: goes in a circle: new after new',
    'after.4: there is no plan e',
  ]);
});

test('plans that many others run after are looked up once for each that is named', async () => {
  const width = 20;
  const layer = (depth: number) => Array.from({ length: width }, (_, index) => `p-${depth}-${index}`);
  const depths = [0, 1, 2, 3, 4, 5];
  const plans = Object.fromEntries(
    depths.flatMap((depth) => layer(depth).map((id) => [id, depth < 5 ? layer(depth + 1) : []])),
  );
  const { told, looks } = await ordered(layer(0), plans);
  assert.deepEqual(told, []);
  assert.ok(looks <= width * width * depths.length, `${looks} looks for ${width * depths.length} plans`);
});
