/** What happens by itself, at the web page: balancing, plans, schedules. Against a real orchestrator and simulated hosts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ISOLATED_NETWORK } from '@lmas/plugin-simulated/world';
import type { BalancingMove } from '../../apps/orchestrator/src/balancing/types.ts';
import { type Stage, setStage } from '../workflow/harness.ts';
import { useSetting } from './setting.ts';

const setting = useSetting();

/** One VM more at the source, which is too busy with the two of them; a policy of the stage's own name looks at it. */
async function busyStage(policy: object = {}): Promise<Stage & { other: string }> {
  const { api, directory } = setting();
  const stage = await setStage(() => api, directory);
  const other = `${stage.source}-b`;
  stage.world.addVm('source', { id: other, name: other, cpuCores: 28 });
  stage.world.setUse(stage.vmId, { cpuCores: 32 });
  await api.must('POST', '/v1/balancing-policies', {
    ...{ id: stage.source, endpoints: [stage.source, stage.destination], measureMs: 200, confirmPasses: 1 },
    ...{ intervalMs: 3_600_000, memory: { weight: 0 } },
    ...policy,
  });
  return { ...stage, other };
}

const movesOf = async ({ source }: Stage): Promise<BalancingMove[]> =>
  (await setting().api.must<{ items: BalancingMove[] }>('GET', `/v1/balancing-policies/${source}/moves`)).items;

test('a proposal is shown with its reason and what the hosts will use; approved, its VM moves', async () => {
  await using stage = await busyStage();
  await using reader = await setting().loggedIn();
  const { page } = reader;
  await reader.visit('/balancing');
  await page.getByText('1 proposal').waitFor();
  await page.getByRole('link', { name: stage.source }).click();
  const proposal = page.getByRole('region', { name: `Proposal: ${stage.other}` });
  await proposal.getByText(/which gains .* points and costs/).waitFor();
  const bar = page
    .getByRole('row', { name: stage.source })
    .getByRole('img', { name: /^Processor 94 %, 50 % after the moves/ });
  await bar.waitFor();
  await proposal.getByRole('button', { name: 'Approve' }).click();
  await page.getByRole('button', { name: 'Approve', exact: true }).click();
  await page.getByRole('row', { name: stage.other }).getByRole('link').click();
  await page.getByText(`It runs at ${stage.destination}.`).waitFor();
  assert.deepEqual([stage.world.running(stage.other), stage.world.violations], [['destination'], []]);
  assert.equal((await movesOf(stage)).length, 1);
});

test('rejected, the VM stays; the next pass says why, and proposes another one', async () => {
  await using stage = await busyStage();
  await using reader = await setting().loggedIn();
  const { page } = reader;
  await reader.visit(`/balancing/${stage.source}`);
  await page.getByRole('button', { name: `Reject ${stage.other}` }).click();
  await page.getByRole('button', { name: 'Reject', exact: true }).click();
  await page.getByRole('row', { name: stage.other }).getByText('rejected').waitFor();
  await page.getByRole('button', { name: 'Run a pass' }).click();
  await page.getByRole('button', { name: `Approve ${stage.vmName}` }).waitFor();
  await page.getByText(/^Pass 2,/).waitFor();
  assert.deepEqual(stage.world.running(stage.other), ['source']);
});

test('a policy is made, changed and paused; what the form does not show stays as it is', async () => {
  await using stage = await busyStage({ horizonMs: 7_200_000 });
  const { api, loggedIn } = setting();
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/balancing/${stage.source}/change`);
  await page.getByLabel('Mode').selectOption('explain');
  await page.getByLabel('Processor: too busy above').fill('95');
  await page.getByLabel('Never moved').fill('db-*\nvault-*');
  await page.getByRole('button', { name: 'Change the policy' }).click();
  await page.getByRole('button', { name: 'Pause …' }).click();
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await page.getByText('paused', { exact: true }).waitFor();
  const policy = await api.must<Record<string, unknown>>('GET', `/v1/balancing-policies/${stage.source}`);
  assert.partialDeepStrictEqual(policy, {
    ...{ mode: 'explain', horizonMs: 7_200_000, cpu: { weight: 1, high: 0.95, low: 0.7 } },
    rules: { pinned: ['db-*', 'vault-*'] },
  });
  await reader.visit('/new/policy');
  await page.getByLabel('Name').fill(`${stage.source}-2`);
  const add = page.getByRole('button', { name: 'Add the policy' });
  assert.ok(await add.isDisabled(), 'it takes two hosts');
  for (const host of [stage.source, stage.destination]) await page.getByLabel(`${host}, site`).check();
  await page.getByLabel('Processor: until below').fill('90');
  await add.click();
  await page.getByRole('alert').getByText('INVALID_BALANCING_POLICY').waitFor();
  await page.getByLabel('Processor: until below').fill('60');
  await add.click();
  await page.getByRole('heading', { level: 1, name: `${stage.source}-2` }).waitFor();
});

test('a policy that is outside its windows does not just say that it works, and shows them', async () => {
  const office = { kind: 'weekly', days: ['mon'], from: '08:00', to: '18:00' };
  const century = { kind: 'dates', from: '2020-01-01T00:00:00Z', to: '2120-01-01T00:00:00Z' };
  await using stage = await busyStage({ timeZone: 'Europe/Lisbon' });
  const { api, loggedIn } = setting();
  await using reader = await loggedIn();
  const { page } = reader;
  const path = `/v1/balancing-policies/${stage.source}`;
  const { endpoints } = await api.must<{ endpoints: string[] }>('GET', path);
  const set = (hours: object) =>
    api.call('PUT', path, { endpoints, timeZone: 'Europe/Lisbon', ...hours }, { 'if-match': '*' });
  assert.equal((await set({ windows: [{ ...century, from: '2100-01-01T00:00:00Z' }], blackouts: [] })).status, 200);
  await reader.visit(`/balancing/${stage.source}`);
  await page.getByText('outside its windows', { exact: true }).waitFor();
  await page.getByText('2100-01-01 00:00 – 2120-01-01 00:00 UTC', { exact: true }).waitFor();
  await page.getByText('Europe/Lisbon', { exact: true }).waitFor();
  assert.equal((await set({ windows: [century, office] })).status, 200);
  await page.getByText('works', { exact: true }).waitFor();
  await page.getByText(/; mon 08:00–18:00$/).waitFor();
});

test('two people who change the same policy do not undo each other', async () => {
  await using stage = await busyStage();
  const { api, loggedIn } = setting();
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/balancing/${stage.source}/change`);
  const path = `/v1/balancing-policies/${stage.source}`;
  const { endpoints } = await api.must<{ endpoints: string[] }>('GET', path);
  assert.equal((await api.call('PUT', path, { endpoints, maxConcurrent: 3 }, { 'if-match': '*' })).status, 200);
  await page.getByLabel('Description').fill('mine');
  await page.getByRole('button', { name: 'Change the policy' }).click();
  await page.getByRole('alert').getByText('PRECONDITION_FAILED').waitFor();
  assert.partialDeepStrictEqual(await api.must('GET', path), { maxConcurrent: 3, description: '' });
});

test('a plan is written and tried while it is typed, stored, run, and its waves are drawn as they are', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  await using reader = await loggedIn();
  const { page } = reader;
  const plan = (vm: string) =>
    `waves:\n  - name: first\n    vms: [{ kind: vm, vm: ${vm}, source: { endpoint: ${stage.source} }, destination: { endpoint: ${stage.destination} } }]\n`;
  await reader.visit('/new/plan');
  await page.getByLabel('Plan', { exact: true }).fill('waves: [');
  await page.getByRole('alert').getByText('This is not YAML').waitFor();
  await page.getByLabel('Name').fill(stage.source);
  const written = page.getByLabel('Plan', { exact: true });
  await written.fill('waves: [');
  await page.getByRole('alert').getByText('This is not YAML').waitFor();
  await written.fill(plan('nobody'));
  await page.getByRole('alert').getByText('INVALID_PLAN').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Store the plan' }).isDisabled());
  await written.fill(plan(stage.vmName));
  await page.getByText('it can be stored').waitFor();
  await page.getByRole('button', { name: 'Store the plan' }).click();
  await page.getByRole('button', { name: 'Fail over …' }).click();
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByRole('list', { name: 'Waves' }).getByText('1 moved').waitFor();
  assert.deepEqual(stage.world.running(stage.vmId), ['destination']);
  await reader.visit('/new/plan');
  await page.getByLabel('Name').fill(stage.source);
  await written.fill(plan('nobody'));
  await page.getByRole('alert').waitFor();
});

test('a plan is rehearsed: the copy is told while it is kept, undone at a word, and the VM stays where it is', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  const ends = { source: { endpoint: stage.source }, destination: { endpoint: stage.destination } };
  await api.must('PUT', `/v1/plans/${stage.source}`, {
    waves: [{ vms: [{ kind: 'vm', vm: stage.vmName, ...ends }] }],
    drill: { networks: { default: ISOLATED_NETWORK }, keepMs: 3_600_000 },
  });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/plans/${stage.source}`);
  await page.getByRole('button', { name: 'Drill …' }).click();
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByText('Copies are kept until').waitFor();
  assert.equal(stage.world.drills.copies.size, 1);
  assert.deepEqual(stage.world.running(stage.vmId), ['source']);
  await page.getByRole('button', { name: 'Cancel the run …' }).click();
  await page.getByText('every copy is undone at once').waitFor();
  await page.getByRole('button', { name: 'Cancel the run', exact: true }).click();
  await page.getByRole('button', { name: 'Cancel the run …' }).waitFor({ state: 'detached' });
  assert.deepEqual(stage.world.drills.leftovers, []);
  assert.deepEqual(stage.world.violations, []);
  assert.deepEqual(stage.world.running(stage.vmId), ['source']);
});

test('a new plan takes the place of no other', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  const vms = [{ kind: 'host', source: stage.source, destination: { endpoint: stage.destination } }];
  await api.must('PUT', `/v1/plans/${stage.source}`, { description: 'the first', waves: [{ vms }] });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/new/plan');
  await page.getByLabel('Name').fill(stage.source);
  await page.getByLabel('Plan', { exact: true }).fill(JSON.stringify({ description: 'the second', waves: [{ vms }] }));
  await page.getByText('it can be stored').waitFor();
  await page.getByRole('button', { name: 'Store the plan' }).click();
  await page.getByRole('alert').getByText('There is a plan of this name already.').waitFor();
  assert.partialDeepStrictEqual(await api.must('GET', `/v1/plans/${stage.source}`), { description: 'the first' });
});

test('a host is emptied in one go', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  stage.world.addVm('source', { id: `${stage.source}-stays`, name: `${stage.source}-stays` });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/evacuate');
  await page.getByLabel('Empty').selectOption(`endpoint:${stage.source}`);
  await page.getByLabel('Move all to').selectOption(`site:${stage.destination}`);
  await page.getByLabel('Except').fill(`${stage.source}-stays`);
  await page.getByRole('button', { name: 'Check, and move them' }).click();
  await page.getByRole('list', { name: 'Waves' }).getByText('1 moved').waitFor();
  assert.deepEqual(stage.world.running(stage.vmId), ['destination']);
  assert.deepEqual(stage.world.running(`${stage.source}-stays`), ['source']);
});

test('a schedule shows its next runs while it is filled in; it is made, changed and run', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/new/schedule');
  await page.getByLabel('Name').fill(stage.source);
  await page.getByLabel('Starts').selectOption('migration');
  await page.getByLabel('From').selectOption(stage.source);
  await page.getByLabel('VM').selectOption(stage.vmId);
  await page.getByLabel('To', { exact: true }).selectOption(stage.destination);
  await page.getByLabel('Cron').fill('61 * * * *');
  await page.getByRole('alert').waitFor();
  await page.getByLabel('Cron').fill('0 3 * * sun');
  await page
    .getByText(/ 03:00 UTC/)
    .first()
    .waitFor();
  await page.getByRole('button', { name: 'Add the schedule' }).click();
  await page.getByText('0 3 * * sun (UTC)').waitFor();
  await page.getByRole('link', { name: 'Change …' }).click();
  await page.getByLabel('Time zone').fill('Europe/Lisbon');
  await page.getByLabel('A run that was missed').selectOption('run-now');
  await page.getByRole('button', { name: 'Change the schedule' }).click();
  await page.getByText('0 3 * * sun (Europe/Lisbon)').waitFor();
  await page.getByRole('button', { name: 'Run it now' }).click();
  await page.getByText('succeeded', { exact: true }).waitFor();
  assert.deepEqual(stage.world.running(stage.vmId), ['destination']);
});

test('a notice of a schedule or of a run does not end what is live', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/queue');
  const vms = [{ kind: 'host', source: stage.source, destination: { endpoint: stage.destination } }];
  await api.must('PUT', `/v1/plans/${stage.source}-live`, { waves: [{ vms }] });
  const { id } = await api.must<{ id: string }>('POST', `/v1/plans/${stage.source}-live/runs`, { mode: 'validate' });
  await reader.visit(`/plan-runs/${id}`);
  await page.getByText('Every check passed.').waitFor();
  await reader.visit('/queue');
  await page.getByText('It takes new ones as their turn comes.').waitFor();
  await api.must('PATCH', '/v1/queue', { paused: true });
  // Nothing but a notice makes this page look again.
  const waiting = await stage.submit();
  await page.getByRole('link', { name: stage.vmId }).waitFor();
  assert.equal(await page.getByText('not live').count(), 0);
  await api.must('POST', `/v1/migrations/${waiting.id}/cancel`);
  await page.getByRole('link', { name: stage.vmId }).waitFor({ state: 'detached' });
  await api.must('PATCH', '/v1/queue', { paused: false });
});

test('who may only look sees balancing and nothing to press; who is bound to a project does not see it', async () => {
  await using stage = await busyStage();
  const { api, loggedIn } = setting();
  const key = async (more: object) =>
    (await api.must<{ key: string }>('POST', '/v1/api-keys', { name: 'eyes', role: 'viewer', ...more })).key;
  await using reader = await loggedIn({}, await key({}));
  for (const path of [
    '/balancing',
    `/balancing/${stage.source}`,
    '/plans',
    '/schedules',
    '/credentials',
    '/webhooks',
  ]) {
    await reader.visit(path);
    assert.deepEqual(await reader.page.locator('main button:not(.sort)').allTextContents(), [], path);
    assert.equal(await reader.page.locator('main a.button').count(), 0, path);
  }
  await api.must('POST', '/v1/projects', { id: `${stage.source}-red` });
  await using bound = await loggedIn({}, await key({ project: `${stage.source}-red` }));
  assert.equal(await bound.page.getByRole('link', { name: 'Balancing' }).count(), 0);
});
