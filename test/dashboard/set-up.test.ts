/** What an installation is made of, set up at the web page from nothing; and what stays as it is when two people do so. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Site } from '../../apps/orchestrator/src/sites/sites.ts';
import { sshdMissing, startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { hostOfWorld } from '../simulated/gateways.ts';
import { setStage } from '../workflow/harness.ts';
import { useSetting } from './setting.ts';

const setting = useSetting(undefined, { LMAS_LOGIN_RETRY_MS: '600000' });
const skip = sshdMissing();
let sshd: TestSshd;
before(async () => {
  if (skip === false) sshd = await startSshd();
});
after(() => sshd?.[Symbol.asyncDispose]());

test('credential, site, endpoint: what is set up at the page is there, and its VMs are seen', async () => {
  const { api, directory, loggedIn } = setting();
  // A world to look at; its own registration is of no use here.
  await using stage = await setStage(() => api, directory);
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/credentials');
  await page.getByRole('button', { name: 'Add a credential …' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('by-hand');
  await dialog.getByLabel('Kind').selectOption('password');
  await dialog.getByLabel('User').fill('root');
  await dialog.getByLabel('Password').fill('nobody knows');
  await dialog.getByRole('button', { name: 'Add' }).click();
  await page.getByRole('row', { name: 'by-hand' }).waitFor();
  assert.doesNotMatch(await page.content(), /nobody knows/);

  await reader.visit('/new/site');
  await page.getByLabel('Name').fill('lisbon');
  await page.getByLabel('SSH host').fill(hostOfWorld(stage.server.socketPath));
  await page.getByLabel('Credential').selectOption('by-hand');
  await page.getByLabel('Host keys that are accepted').fill('no fingerprint');
  await page.getByLabel('By other sites, at').fill('203.0.113.10');
  await page.getByLabel('By hypervisors of this site, at').fill('10.1.0.10, 10.1.0.11');
  await page.getByRole('button', { name: 'Add the site' }).click();
  await page.getByRole('alert').getByText('as ssh-keygen -lf prints it').waitFor();
  await page.getByLabel('Host keys that are accepted').fill(`SHA256:${'A'.repeat(43)}`);
  await page.getByRole('button', { name: 'Add the site' }).click();
  const card = page.getByRole('region', { name: 'Site lisbon' });
  await card.getByRole('button', { name: 'Test the machine' }).click();
  await card.getByText('works', { exact: true }).waitFor();

  await reader.visit('/new/endpoint');
  await page.getByLabel('Name').fill('host-a');
  await page.getByLabel('Site').selectOption('lisbon');
  await page.getByLabel('Credential').selectOption('by-hand');
  await page.getByLabel('host', { exact: true }).fill('source');
  await page.getByLabel('vms').fill('[{');
  await page.getByRole('button', { name: 'Add the endpoint' }).click();
  await page.getByRole('alert').getByText('vms is not JSON').waitFor();
  await page.getByLabel('vms').fill('');
  await page.getByLabel('socketPath').fill(stage.server.socketPath);
  await page.getByRole('button', { name: 'Add the endpoint' }).click();
  await page.getByRole('row', { name: stage.vmName }).waitFor();
  await page.getByRole('button', { name: 'Test the connection' }).click();
  await page.getByText('works', { exact: true }).waitFor();
  assert.partialDeepStrictEqual(await api.must('GET', '/v1/endpoints/host-a'), {
    config: { host: 'source', socketPath: stage.server.socketPath },
  });
});

test('what a machine shows is accepted only by somebody who says so', { skip }, async () => {
  await using reader = await setting().loggedIn();
  const { page } = reader;
  await reader.visit('/new/site');
  await page.getByLabel('SSH host').fill(sshd.host);
  await page.getByLabel('SSH port').fill(String(sshd.port));
  await page.getByRole('button', { name: 'What does it show?' }).click();
  await page.getByText('Compare before you accept one').waitFor();
  const accepted = page.getByLabel('Host keys that are accepted');
  assert.equal(await accepted.inputValue(), '');
  await page.getByRole('button', { name: `Accept ${sshd.hostKeys.ed25519}` }).click();
  assert.equal(await accepted.inputValue(), sshd.hostKeys.ed25519);
});

test('a site is changed as it was opened, or not at all; one that is needed is not removed', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  const path = `/v1/sites/${stage.source}`;
  const before = await api.must<Site>('GET', path);
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/sites/${stage.source}/change`);
  await api.call('PATCH', path, { description: 'theirs' }, { 'if-match': '*' });
  await page.getByLabel('Description').fill('mine');
  await page.getByRole('button', { name: 'Change the site' }).click();
  const told = page.getByRole('alert').filter({ hasText: 'Somebody else has changed it' });
  await told.waitFor();
  assert.doesNotMatch(await told.innerText(), /etag|version/);
  assert.deepEqual(await api.must('GET', path), { ...before, description: 'theirs' });
  await told.getByRole('button', { name: 'Show what it is now' }).click();
  await told.waitFor({ state: 'detached' });
  assert.equal(await page.getByLabel('Description').inputValue(), 'theirs');
  await page.getByLabel('Last port').fill('17510');
  await page.getByRole('button', { name: 'Change the site' }).click();
  const card = page.getByRole('region', { name: `Site ${stage.source}` });
  await card.getByText('17500–17510').waitFor();
  await card.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('button', { name: 'Remove', exact: true }).click();
  await page.getByRole('dialog').getByText('IN_USE').waitFor();
});

test('a project is given endpoints and limits, and a webhook is told of what was chosen', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  await using reader = await loggedIn();
  const { page } = reader;
  const dialog = page.getByRole('dialog');
  await reader.visit('/access');
  await page.getByRole('button', { name: 'Add a project …' }).click();
  await dialog.getByLabel('Name').fill('red');
  await dialog.getByLabel(`${stage.source} (site`).check();
  await dialog.getByLabel('Migrations under way at once').fill('2');
  await dialog.getByLabel('Highest priority').fill('60');
  await dialog.getByRole('button', { name: 'Add' }).click();
  await page.getByRole('row', { name: 'red' }).getByText(stage.source).waitFor();
  await page.getByRole('row', { name: 'red' }).getByText('2 at once, priority 60').waitFor();
  const limits = { maxMigrations: 2, maxWaiting: null, maxPriority: 60 };
  assert.partialDeepStrictEqual(await api.must('GET', '/v1/projects/red'), { endpoints: [stage.source], limits });
  await page.getByRole('button', { name: 'Change red …' }).click();
  await dialog.getByLabel('Migrations under way at once').fill('');
  await dialog.getByLabel('Migrations that wait').fill('9');
  await dialog.getByRole('button', { name: 'Change', exact: true }).click();
  await page.getByRole('row', { name: 'red' }).getByText('9 waiting, priority 60').waitFor();
  const changed = { maxMigrations: null, maxWaiting: 9, maxPriority: 60 };
  assert.partialDeepStrictEqual(await api.must('GET', '/v1/projects/red'), { limits: changed });

  await reader.visit('/webhooks');
  await page.getByRole('button', { name: 'Add a webhook …' }).click();
  await dialog.getByLabel('Name').fill('portal');
  await dialog.getByLabel('URL').fill('https://portal.example.org/hooks');
  await dialog.getByLabel('Everything').uncheck();
  await dialog.getByLabel('Runs of plans').check();
  await dialog.getByRole('button', { name: 'Add' }).click();
  await page.getByText(/whsec_/).waitFor();
  await page.getByRole('link', { name: 'portal' }).click();
  await page.getByRole('button', { name: 'Change …' }).click();
  await dialog.getByLabel('Migrations that end').uncheck();
  await dialog.getByRole('button', { name: 'Change' }).click();
  await page.getByText(/^plan-run\.started, .*plan-run\.cancelled$/).waitFor();
});

test('an operator moves and tests, and is offered nothing that only an admin may', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  const { key } = await api.must<{ key: string }>('POST', '/v1/api-keys', { name: 'hands', role: 'operator' });
  await using reader = await loggedIn({}, key);
  const { page } = reader;
  for (const name of ['Access', 'Audit']) assert.equal(await page.getByRole('link', { name }).count(), 0, name);
  const offered = async (path: string) => {
    await reader.visit(path);
    const texts = await page.locator('main button:not(.sort), main a.button').allTextContents();
    return [...new Set(texts)].sort();
  };
  assert.deepEqual(await offered(`/endpoints/${stage.source}`), [
    'Cordon',
    `Move ${stage.vmName} …`,
    'Test the connection',
  ]);
  assert.deepEqual(await offered('/balancing'), []);
  for (const path of ['/sites', `/endpoints/${stage.source}`]) {
    const words = (await offered(path)).join(' ');
    assert.doesNotMatch(words, /Add|Change|Remove/, path);
    assert.match(words, /Test/, path);
  }
});

test('a login that is refused is told at the page, with when it is tried again; a test tries at once, and what is there is shown', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  stage.world.faults.arm('source.login', 'before', { code: 'LOGIN_REFUSED' });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/endpoints/${stage.source}`);
  const problem = page.getByRole('alert');
  await problem.getByText('LOGIN_REFUSED').waitFor();
  await problem.getByText(/not tried again by itself before \S+Z; .* by a test of the endpoint/).waitFor();
  await page.getByRole('button', { name: 'Test the connection' }).click();
  await page.getByRole('row', { name: stage.vmName }).waitFor();
  assert.equal(await problem.count(), 0);
});
