/** The page where the browser gives it less: over plain HTTP from another machine; and where it breaks down. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setStage } from '../workflow/harness.ts';
import { Reader } from './browser.ts';
import { useSetting } from './setting.ts';

const setting = useSetting();

/** What only secure contexts have, taken away. */
async function overPlainHttp(): Promise<Reader> {
  const reader = await setting().loggedIn();
  await reader.page.addInitScript('delete Crypto.prototype.randomUUID; delete Navigator.prototype.clipboard;');
  await reader.page.reload();
  return reader;
}

test('over plain HTTP a VM is moved, and tried again', async () => {
  const { api, directory } = setting();
  await using stage = await setStage(() => api, directory);
  await using reader = await overPlainHttp();
  const { page } = reader;
  assert.equal(await page.evaluate('typeof crypto.randomUUID'), 'undefined');
  stage.world.faults.arm('destination.prepare', 'before', { code: 'INCOMPATIBLE' });
  await reader.visit(`/migrations/new?source=${stage.source}&vm=${stage.vmId}&destination=${stage.destination}`);
  await page.getByText('it can be moved').waitFor();
  await page.getByRole('button', { name: 'Move it' }).click();
  await page.getByRole('alert').getByText('while preparing').waitFor();
  await page.getByRole('button', { name: 'Try again …' }).click();
  await page.getByRole('button', { name: 'Try again', exact: true }).click();
  await page.getByText(`It runs at ${stage.destination}.`).waitFor();
});

test('a secret is shown, and nothing is offered that would not work', async () => {
  for (const [open, copies] of [
    [overPlainHttp, 0],
    [() => setting().loggedIn(), 1],
  ] as const) {
    await using reader = await open();
    const { page } = reader;
    await reader.visit('/access');
    await page.getByRole('button', { name: 'Make a key …' }).click();
    await page.getByRole('dialog').getByLabel('Whose it is').fill('Portal');
    await page.getByRole('dialog').getByRole('button', { name: 'Make it' }).click();
    await page.locator('code.secret').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Copy' }).count(), copies);
  }
});

test('the login at a provider is offered only where the browser can do it, and else it is said why', async () => {
  const { browser, orchestrator } = setting();
  const oidc = { issuer: 'https://id.example.org/lmas', clientId: 'page', scope: 'openid' };
  for (const isSecure of [true, false]) {
    await using reader = await Reader.open(browser, orchestrator.url);
    const { page } = reader;
    await page.route('**/ui/login.json', (route) => route.fulfill({ json: { oidc } }));
    if (!isSecure) await page.addInitScript(`Object.defineProperty(window, 'isSecureContext', { value: false })`);
    await page.reload();
    await page
      .getByText(isSecure ? 'Log in with id.example.org' : 'The login at id.example.org needs https://')
      .waitFor();
    const offered = await page.getByRole('button', { name: /id\.example\.org/ }).count();
    assert.equal(offered, isSecure ? 1 : 0);
    assert.deepEqual(await reader.barriers(), []);
  }
});

test('a page that breaks down says so, and the rest goes on', async () => {
  await using reader = await setting().loggedIn();
  const { page } = reader;
  await page.route('**/v1/plans?*', (route) => route.fulfill({ json: { items: [{ id: 'odd' }], nextCursor: null } }));
  await reader.visit('/plans');
  const said = page.getByRole('alert');
  await said.getByText('An error of the page itself').waitFor();
  assert.deepEqual(await reader.barriers(), []);
  await page.getByRole('navigation').getByRole('link', { name: 'Sites' }).click();
  await page.getByRole('heading', { level: 1, name: 'Sites' }).waitFor();
  assert.equal(await said.count(), 0);
  await page.goBack();
  await said.waitFor();
  await page.unroute('**/v1/plans?*');
  await page.getByRole('button', { name: 'Load it again' }).click();
  await page.getByRole('heading', { level: 1, name: 'Plans' }).waitFor();
});
