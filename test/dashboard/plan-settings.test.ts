/** What plans, evacuations and fail-backs are asked besides who moves where: in fields, with what is wrong beside each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PlanRun } from '../../apps/orchestrator/src/plans/record.ts';
import { setStage } from '../workflow/harness.ts';
import type { Reader } from './browser.ts';
import { useSetting } from './setting.ts';

const setting = useSetting();
const stageHere = () => setStage(() => setting().api, setting().directory);

/** That a field is wrong, and why, is told to those who do not see it. */
async function assertWrong({ page }: Reader, label: string, why: RegExp): Promise<void> {
  const field = page.getByLabel(label, { exact: true });
  await page.locator('.field-error', { hasText: why }).waitFor();
  assert.equal(await field.getAttribute('aria-invalid'), 'true');
  const notes = await field.getAttribute('aria-describedby');
  assert.match((await page.locator(`[id="${notes}"]`).textContent()) ?? '', why);
}

test('the settings of a plan are fields that write into its text and follow it', async () => {
  await using stage = await stageHere();
  const { source, destination, vmName } = stage;
  await using reader = await setting().loggedIn();
  const { page } = reader;
  await reader.visit('/new/plan');
  await page.getByLabel('Name').fill(source);
  const written = page.getByLabel('Plan', { exact: true });
  const selector = `{ kind: host, source: ${source}, destination: { endpoint: ${destination} }, except: [${vmName}]`;
  await written.fill(`# all of it\nwaves:\n  - vms: [${selector} }]\nsilent: leave\n`);
  const silent = page.getByLabel('Hosts of the site that do not answer');
  await page.waitForFunction('document.querySelectorAll("fieldset select")[1]?.value === "leave"');
  assert.equal(await silent.inputValue(), 'leave', 'it follows the text');
  await page.getByLabel('VMs that are powered off').focus();
  await page.keyboard.press('ArrowDown');
  await page.getByLabel('VMs that do not fit into the memory free there').selectOption('check');
  await page.getByLabel('Order of the others').selectOption('largest');
  await page.getByLabel('Begin first').pressSequentially(`${vmName}, `);
  assert.equal(await page.getByLabel('Begin first').inputValue(), `${vmName}, `, 'what is being typed stays');
  assert.equal(
    await written.inputValue(),
    `# all of it\nwaves:\n  - vms: [${selector}, order: largest, first: ["${vmName}"] }]\nsilent: leave\npoweredOff: leave\nmemory: check\n`,
  );
  await assertWrong(reader, 'Begin first', /cannot come first: it is excepted/);
  assert.deepEqual(await reader.barriers(), []);
  await page.getByLabel('Begin first').fill('');
  await page.getByText('it can be stored').waitFor();
  assert.equal(await page.locator('[aria-invalid]').count(), 0);
  await page.getByRole('button', { name: 'Store the plan' }).click();
  const facts = page.locator('dl.fields');
  for (const words of ['stay where they are', 'are left, with what they have', 'are refused']) {
    await facts.getByText(words, { exact: true }).waitFor();
  }
  await page.getByText(`, except ${vmName}, largest memory first`).waitFor();
  await reader.visit('/new/plan');
  await written.fill('waves: [');
  await page.getByText('Fields for its settings come back').waitFor();
});

test('an evacuation says who begins first, in which order, and what silence and short memory mean', async () => {
  await using stage = await stageHere();
  const { source, destination, vmName } = stage;
  stage.world.addVm('source', { id: `${source}-dc`, name: `${source}-dc` });
  await using reader = await setting().loggedIn();
  const { page } = reader;
  await reader.visit('/evacuate');
  await page.getByLabel('Empty').selectOption(`endpoint:${source}`);
  assert.equal(await page.getByLabel('Hosts of the site that do not answer').count(), 0, 'a host is no site');
  await page.getByLabel('Empty').selectOption(`site:${source}`);
  await page.getByLabel('Hosts of the site that do not answer').selectOption('refuse');
  await page.getByLabel('Move all to').selectOption(`site:${destination}`);
  await page.getByLabel('Except').fill(vmName);
  await page.getByLabel('Begin first').fill(`${source}-dc, ${vmName}`);
  await page.getByLabel('Order of the others').selectOption('smallest');
  await page.getByLabel('VMs that do not fit into the memory free there').selectOption('overcommit');
  await page.getByLabel('VMs that are powered off').selectOption('leave');
  await page.getByLabel('Begin first').press('Enter');
  await assertWrong(reader, 'Begin first', /cannot come first: it is excepted/);
  assert.deepEqual(await reader.barriers(), []);
  await page.getByLabel('Except').fill('');
  await page.getByLabel('Begin first').press('Enter');
  await page.getByRole('list', { name: 'Waves' }).getByText('2 moved').waitFor();
  const run = await setting().api.must<PlanRun>('GET', `/v1/plan-runs/${page.url().split('/').at(-1)}`);
  const { definition, items } = run;
  assert.partialDeepStrictEqual(definition, { silent: 'refuse', memory: 'overcommit', poweredOff: 'leave' });
  assert.partialDeepStrictEqual(definition.waves[0]?.vms[0], { first: [`${source}-dc`, vmName], order: 'smallest' });
  assert.deepEqual(
    items.map(({ vm }) => vm.name),
    [`${source}-dc`, vmName],
  );
});

test('a fail-back leaves out who is to stay, and what is powered off by now', async () => {
  await using stage = await stageHere();
  const { api, loggedIn } = setting();
  const { source, destination, vmId, vmName } = stage;
  const other = `${source}-b`;
  stage.world.addVm('source', { id: other, name: other });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/evacuate');
  await page.getByLabel('Empty').selectOption(`endpoint:${source}`);
  await page.getByLabel('Move all to').selectOption(`endpoint:${destination}`);
  await page.getByRole('button', { name: 'Check, and move them' }).click();
  await page.getByRole('list', { name: 'Waves' }).getByText('2 moved').waitFor();
  await page.getByRole('button', { name: 'Fail back …' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel(vmName, { exact: false }).first().check();
  await dialog.getByLabel(`${other} (`).check();
  assert.deepEqual(await reader.barriers('dialog'), []);
  await dialog.getByRole('button', { name: 'Fail back', exact: true }).click();
  await dialog.getByRole('alert').getByText('nothing else of it runs at its destination').first().waitFor();
  await dialog.getByLabel(`${other} (`).focus();
  await page.keyboard.press('Space');
  await dialog.getByLabel('VMs that are powered off').selectOption('leave');
  await dialog.getByRole('button', { name: 'Fail back', exact: true }).click();
  await page.getByRole('list', { name: 'Waves' }).getByText('1 moved').waitFor();
  assert.deepEqual([stage.world.running(vmId), stage.world.running(other)], [['destination'], ['source']]);
  const run = await api.must<PlanRun>('GET', `/v1/plan-runs/${page.url().split('/').at(-1)}`);
  assert.deepEqual([run.mode, run.definition.poweredOff], ['failback', 'leave']);
});
