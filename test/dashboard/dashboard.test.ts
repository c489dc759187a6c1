/** The web page in a real browser, against a real orchestrator with real Redis and the simulated hypervisor. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { Issuer } from '../../apps/orchestrator/src/testing/oidc-issuer.ts';
import { Api, type Stage, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';
import { launchBrowser, Reader } from './browser.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
let browser: Browser;
before(async () => {
  orchestrator = await startInProcess(directory.path);
  api = await Api.of(orchestrator);
  browser = await launchBrowser();
});
after(async () => {
  await browser.close();
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

const chooseDestination = (page: Page, id: string) =>
  page.locator('label', { hasText: /^To/ }).locator('select').selectOption(id);

/** Beyond it a page feels stuck. On a machine that has nothing else to do it is a fraction of that. */
const LONGEST_TASK_MS = 500;

const PHONE = { viewport: { width: 390, height: 800 }, hasTouch: true };

async function loggedIn(options: Parameters<typeof Reader.open>[2] = {}, key = api.key): Promise<Reader> {
  const reader = await Reader.open(browser, orchestrator.url, options);
  await reader.logIn(key);
  return reader;
}

/** A guest that moves for as long as the test lets it. */
async function slowStage(): Promise<Stage> {
  const stage = await setStage(() => api, directory.path);
  stage.world.rates.set('source', 300 << 20);
  return stage;
}

test('a wrong key is refused in words, a right one is remembered by the tab, and logging out forgets it', async () => {
  await using reader = await Reader.open(browser, orchestrator.url);
  const { page } = reader;
  await page.getByLabel('API key').fill('lmas_000000000000_wrong');
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await page.getByRole('alert').getByText('UNAUTHENTICATED').waitFor();
  await reader.logIn(api.key);
  await page.reload();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.reload();
  await page.getByLabel('API key').waitFor();
  assert.equal(await page.evaluate('sessionStorage.length + localStorage.length'), 0);
});

test('a VM is picked, checked before anybody commits, moved, and followed to its end', async () => {
  await using stage = await slowStage();
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/endpoints/${stage.source}`);
  await page.getByRole('link', { name: 'Move' }).first().click();
  const answered = Promise.withResolvers<void>();
  await page.route('**/v1/migration-checks', async (route) => {
    await answered.promise;
    await route.continue();
  });
  await chooseDestination(page, stage.destination);
  assert.ok(await page.getByRole('button', { name: 'The checks are made first' }).isDisabled());
  answered.resolve();
  await page.getByText('it can be moved').waitFor();
  await page.getByText('Downtime', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Move it' }).click();
  await page.getByRole('progressbar').waitFor();
  await page.getByText(`It runs at ${stage.destination}.`).waitFor();
  const { items } = await api.must<{ items: Migration[] }>('GET', `/v1/migrations?endpoint=${stage.source}`);
  assert.equal(items.length, 1, 'submitted once');
  assert.equal(items[0]?.phase, 'succeeded');
});

test('a blocked migration cannot be submitted, and the finding says what to do', async () => {
  await using stage = await setStage(() => api, directory.path);
  stage.world.addVm('destination', { id: stage.vmId, name: 'taken' });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/new?source=${stage.source}&vm=${stage.vmId}`);
  await chooseDestination(page, stage.destination);
  await page.getByText('it cannot be moved').waitFor();
  assert.ok(await page.getByRole('button', { name: /Blocked/ }).isDisabled());
});

test('a phone follows a migration and cancels it', async () => {
  await using stage = await slowStage();
  stage.world.addVm('source', { id: 'big', name: 'big', memoryBytes: 2 ** 40 });
  const { id } = await stage.submit({ vm: 'big' });
  await using reader = await loggedIn(PHONE);
  const { page } = reader;
  await reader.visit(`/migrations/${id}`);
  await page.getByRole('progressbar').waitFor();
  const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  assert.equal(overflow, 0, 'nothing to scroll sideways');
  await page.getByRole('button', { name: 'Cancel …' }).tap();
  await page.getByRole('button', { name: 'Cancel the migration' }).tap();
  await page.locator('.badge', { hasText: 'cancelled' }).waitFor();
  assert.equal((await api.ended(id)).phase, 'cancelled');
});

test('a migration is cancelled with the keyboard alone', async () => {
  await using stage = await slowStage();
  stage.world.addVm('source', { id: 'huge', name: 'huge', memoryBytes: 2 ** 40 });
  const { id } = await stage.submit({ vm: 'huge' });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/${id}`);
  await page.getByRole('progressbar').waitFor();
  const press = async (name: string) => {
    for (let i = 0; i < 40; i += 1) {
      await page.keyboard.press('Tab');
      const focused = await page.evaluate<string>('document.activeElement.textContent');
      if (focused === name) return await page.keyboard.press('Enter');
    }
    assert.fail(`the keyboard does not reach ${name}`);
  };
  await press('Cancel …');
  await page.getByRole('dialog').waitFor();
  await press('Cancel the migration');
  await page.locator('.badge', { hasText: 'cancelled' }).waitFor();
  assert.equal((await api.ended(id)).phase, 'cancelled');
});

test('a failure is told in words with what to do, and can be tried again', async () => {
  await using stage = await setStage(() => api, directory.path);
  stage.world.faults.arm('destination.prepare', 'before');
  const { id } = await stage.submit({ retries: { max: 0, backOffMs: 100 } });
  const failed = await api.ended(id);
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/${id}`);
  await page.getByRole('alert').getByText(`${failed.error?.code}, while preparing`).waitFor();
  await page.getByRole('button', { name: 'Try again …' }).click();
  await page.getByRole('button', { name: 'Try again', exact: true }).click();
  await page.getByText(`It runs at ${stage.destination}.`).waitFor();
});

test('what was left of the teardown is told as it is, also when that changes after the end', async () => {
  await using stage = await setStage(() => api, directory.path);
  const hold = stage.world.faults.arm('gateway.start', 'hold-after');
  const { id } = await stage.submit({ retries: { max: 0, backOffMs: 100 } });
  await hold.reached;
  stage.server.goAway();
  hold.release();
  await api.until(id, ({ teardown }) => teardown === 'incomplete');
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/${id}`);
  await page.getByText('it is tried again and again').waitFor();
  await page.getByRole('button', { name: 'Give it up …' }).click();
  const question = page.getByRole('dialog');
  await question.getByText('Only if the machine will never come back.').waitFor();
  await question.getByRole('button', { name: 'Give it up' }).click();
  assert.equal((await api.migration(id)).teardown, 'incomplete', 'not without a reason');
  await question.getByLabel('Why it can never be taken down').fill('burnt down');
  await question.getByRole('button', { name: 'Give it up' }).click();
  const { leftovers } = await api.until(id, ({ teardown }) => teardown === 'given-up');
  for (const openedLate of [false, true]) {
    if (openedLate) await page.reload();
    await page.getByText('it is tried no more').waitFor();
    await page.getByText(/said so.*burnt down/).waitFor();
    for (const text of leftovers) await page.getByText(text).first().waitFor();
    assert.equal(await page.getByText('again and again').count(), 0);
  }
});

test('a VM that was not found is called that, and one that nobody got to look for is not', async () => {
  await using stage = await setStage(() => api, directory.path);
  const missing = await stage.submit({ vm: 'nobody' });
  await api.ended(missing.id);
  await api.must('PATCH', '/v1/queue', { paused: true });
  const waiting = await stage.submit();
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/${waiting.id}`);
  await page.getByText('not looked for yet').waitFor();
  await api.must('POST', `/v1/migrations/${waiting.id}/cancel`);
  await page.getByText('not seen; nothing was touched').waitFor();
  await api.must('PATCH', '/v1/queue', { paused: false });
  await reader.visit(`/migrations/${missing.id}`);
  await page.getByText(`not found at ${stage.source}; nothing was touched`).waitFor();
});

test('who may only look is shown nothing to press', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { id } = await stage.submit();
  await api.ended(id);
  const { key } = await api.must<{ key: string }>('POST', '/v1/api-keys', { name: 'eyes', role: 'viewer' });
  await using reader = await loggedIn({}, key);
  const { page } = reader;
  assert.equal(await page.getByRole('link', { name: 'Move a VM' }).count(), 0);
  assert.equal(await page.getByRole('link', { name: 'Access' }).count(), 0);
  for (const path of ['/migrations', `/migrations/${id}`, '/queue', '/sites', `/endpoints/${stage.source}`]) {
    await reader.visit(path);
    // Whoever looks may choose in which order.
    assert.deepEqual(await page.locator('main button:not(.sort)').allTextContents(), [], path);
  }
});

test('keys of the same name are told apart, and who may make none is offered none', async () => {
  const make = (more: object) =>
    api.must<{ id: string; key: string }>('POST', '/v1/api-keys', { name: 'twin', role: 'viewer', ...more });
  const [free, limited] = [await make({}), await make({ operations: ['listMigrations'] })];
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/access');
  const row = (id: string) => page.getByRole('row').filter({ hasText: id });
  await row(limited.id).getByText('only: listMigrations').waitFor();
  assert.equal(await row(free.id).getByText('only:').count(), 0);
  await row(free.id)
    .getByRole('button', { name: /^Revoke/ })
    .click();
  await page.getByRole('dialog').getByText(`Revoke the key of twin (${free.id})?`).waitFor();
  await using viewer = await loggedIn({}, free.key);
  await viewer.visit('/access');
  await viewer.page.getByRole('alert').getByText('FORBIDDEN').waitFor();
  assert.equal(await viewer.page.getByRole('button', { name: 'Make a key …' }).count(), 0);
});

test('a key that is revoked ends the session with the reason', async () => {
  const { key, id } = await api.must<{ key: string; id: string }>('POST', '/v1/api-keys', {
    name: 'short',
    role: 'viewer',
  });
  await using reader = await loggedIn({}, key);
  await api.must('DELETE', `/v1/api-keys/${id}`);
  await reader.page.goto(`${orchestrator.url}/ui/#/system`);
  await reader.page.getByText('no longer accepted').waitFor();
  assert.equal(await reader.page.evaluate('sessionStorage.length'), 0);
});

test('what is being typed stays when the login is accepted no more', async () => {
  const input = { name: 'typist', role: 'admin' };
  const { key, id } = await api.must<{ key: string; id: string }>('POST', '/v1/api-keys', input);
  await using reader = await loggedIn({}, key);
  const { page } = reader;
  await reader.visit('/new/site');
  await page.getByLabel('Name').fill('half-written');
  const renewed = await api.must<{ key: string }>('POST', `/v1/api-keys/${id}/rotate`, { graceMs: 0 });
  await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))");
  const dialog = page.getByRole('dialog', { name: 'Log in again' });
  await dialog.getByText('no longer accepted').waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  assert.deepEqual(await reader.barriers('dialog'), []);
  await dialog.getByLabel('API key').fill('lmas_000000000000_wrong');
  await dialog.getByRole('button', { name: 'Log in', exact: true }).click();
  await dialog.getByRole('alert').getByText('UNAUTHENTICATED').waitFor();
  await dialog.getByLabel('API key').fill(renewed.key);
  await dialog.getByRole('button', { name: 'Log in', exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.equal(await page.getByLabel('Name').inputValue(), 'half-written');
  await page.getByRole('link', { name: 'System' }).click();
  await page.getByRole('heading', { level: 1, name: 'System' }).waitFor();

  // Of somebody else nothing stays.
  await reader.visit('/new/site');
  await page.getByLabel('Name').fill('half-written');
  await api.must('DELETE', `/v1/api-keys/${id}`);
  await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))");
  await dialog.getByLabel('API key').fill(api.key);
  await dialog.getByRole('button', { name: 'Log in', exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  await reader.settled();
  assert.equal(await page.getByLabel('Name').inputValue(), '');
});

test('what happened while the connection was lost is caught up', async () => {
  await using stage = await slowStage();
  const { id } = await stage.submit();
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/${id}`);
  await page.context().setOffline(true);
  const ended = await api.ended(id);
  assert.equal(ended.phase, 'succeeded');
  await page.context().setOffline(false);
  await page.getByText(`It runs at ${stage.destination}.`).waitFor({ timeout: 30_000 });
  const told = await page.locator('ol.events').first().innerText();
  for (const { phase } of ended.timeline) assert.match(told, new RegExp(phase), 'every phase is told');
});

test('who is known to the identity provider logs in there, and comes back to the page', async () => {
  const issuer = new Issuer();
  await issuer.listen();
  await issuer.addKey('k1');
  await using own = await temporaryDirectory();
  const oidcFile = join(own.path, 'oidc.json');
  const grants = [{ claim: 'groups', value: 'ops', role: 'operator', project: null }];
  const page = { clientId: 'lmas-page' };
  await writeFile(oidcFile, JSON.stringify({ issuer: issuer.url, audience: 'lmas', grants, page }));
  const trusting = await startInProcess(own.path, { LMAS_OIDC_FILE: oidcFile });
  try {
    await using reader = await Reader.open(browser, trusting.url);
    await reader.page.getByRole('button', { name: /Log in with/ }).click();
    await reader.page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    assert.equal(await reader.page.locator('.caller').getByText('ada').count(), 1);
    assert.doesNotMatch(reader.page.url(), /code=|state=/, 'what the provider sent is not left in the address');
    await reader.page.getByRole('button', { name: 'Log out' }).click();
    await reader.page.goto(`${trusting.url}/ui/#/migrations?phase=failed`);
    await reader.page.getByRole('button', { name: /Log in with/ }).click();
    await reader.page.getByRole('heading', { level: 1, name: 'Migrations' }).waitFor();
    assert.equal(reader.page.url(), `${trusting.url}/ui/#/migrations?phase=failed`, 'the link leads where it led');
    assert.deepEqual(issuer.refusedExchanges, []);
  } finally {
    await trusting.stop();
    issuer.close();
  }
});

test('four hundred migrations in a list', async (t) => {
  await using stage = await setStage(() => api, directory.path);
  for (let i = 0; i < 400; i += 1) stage.world.addVm('source', { id: `many-${i}`, name: `many-${i}` });
  const label = { many: stage.source };
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations?label=many=${stage.source}`);
  await page.evaluate(`
    window.tasksMs = [];
    new PerformanceObserver((list) => tasksMs.push(...list.getEntries().map(({ duration }) => Math.round(duration))))
      .observe({ type: 'longtask' });
  `);
  await Promise.all(
    Array.from({ length: 400 }, (_, i) => stage.submit({ vm: `many-${i}`, labels: label, transport: 'direct' })),
  );
  const rows = page.locator('tbody tr');
  while ((await rows.count()) < 400) {
    const before = await rows.count();
    await page.getByRole('button', { name: 'Show older ones' }).click();
    await rows.nth(before).waitFor();
  }
  assert.equal(await rows.count(), 400);
  const ids = await page.locator('tbody a').evaluateAll((links) => links.map((link) => link.getAttribute('href')));
  assert.equal(new Set(ids).size, 400, 'each once');
  // One more that comes pushes the oldest off the last page; whatever the rest of them show is not drawn anew.
  await page
    .locator('tbody .badge', { hasText: /queued|ing$/ })
    .first()
    .waitFor({ state: 'detached', timeout: 60_000 });
  const tasksMs = await page.evaluate<number[]>('tasksMs');
  const longestMs = Math.max(0, ...tasksMs);
  t.diagnostic(`while they ran, ${tasksMs.length} tasks of the page took 50 ms or more, the longest ${longestMs} ms`);
  assert.ok(longestMs < LONGEST_TASK_MS, `the page did not answer for ${longestMs} ms`);
  await page.evaluate(`
    window.drawn = new Set();
    new MutationObserver((records) => {
      for (const { target } of records) window.drawn.add(target.closest?.('tr') ?? target);
    }).observe(document.querySelector('tbody'), { subtree: true, childList: true, characterData: true, attributes: true });
  `);
  stage.world.addVm('source', { id: 'one-more', name: 'one-more' });
  const { id } = await stage.submit({ vm: 'one-more', labels: label, transport: 'direct' });
  await page
    .locator('tbody tr')
    .filter({ has: page.getByRole('link', { name: 'one-more' }) })
    .waitFor();
  await api.ended(id);
  const drawn = await page.evaluate<number>('window.drawn.size');
  assert.ok(drawn < 20, `${drawn} rows of 400 were touched`);
});

test('the longest name makes no list and no page wider, and no row higher', async () => {
  await using stage = await setStage(() => api, directory.path);
  const name = 'x'.repeat(255);
  stage.world.addVm('source', { id: name, name });
  const { id } = await stage.submit({ vm: name, labels: { long: stage.source } });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations?label=long=${stage.source}`);
  const row = page.locator('tbody tr');
  await row.getByRole('link', { name }).waitFor();
  assert.ok(((await row.boundingBox())?.height ?? 1_000) < 100);
  const isTooWide = 'document.documentElement.scrollWidth > innerWidth';
  const listIsTooWide =
    '(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)(document.querySelector(".scroll"))';
  assert.equal(await page.evaluate(listIsTooWide), false);
  await reader.visit(`/migrations/${id}`);
  await page.getByRole('heading', { level: 1 }).getByText(name).waitFor();
  assert.equal(await page.evaluate(isTooWide), false);
});

test('what the API finds wrong with the form is told in the words of the form', async () => {
  await using stage = await slowStage();
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/new?source=${stage.source}&vm=web-1`);
  await chooseDestination(page, stage.destination);
  await page.getByLabel('Max downtime in ms').fill('0');
  const said = page.getByRole('alert').getByRole('listitem');
  await said.getByText('Max downtime in ms').waitFor();
  assert.doesNotMatch((await said.textContent()) ?? '', /maxDowntimeMs/);
});

test('nothing bars the way of anybody at the login', async () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    await using reader = await Reader.open(browser, orchestrator.url, { colorScheme });
    assert.deepEqual(await reader.barriers(), [], colorScheme);
  }
});

test('the page and all that it loads come from here, and it may speak to nobody else', async () => {
  const page = await fetch(`${orchestrator.url}/ui/`);
  const html = await page.text();
  assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'.*connect-src 'self';/);
  const loaded = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address = '']) => new URL(address, page.url));
  assert.ok(loaded.length >= 3, html);
  for (const address of loaded) {
    assert.equal(address.origin, new URL(orchestrator.url).origin);
    assert.equal((await fetch(address)).status, 200, address.href);
  }
  const root = await fetch(orchestrator.url, { redirect: 'manual' });
  assert.deepEqual([root.status, root.headers.get('location')], [302, 'ui/']);
});

/** The path as it stands: `fetch` would tidy it up before it is sent. */
async function statusOf(path: string): Promise<number | undefined> {
  const asked = request(orchestrator.url, { path }).end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response.statusCode;
}

test('a stranger who asks for what is not part of the page finds nothing, and leaves no error in the log', async () => {
  const warnings = async () => {
    const { items } = await api.must<{ items: { level: number; msg: string }[] }>('GET', '/v1/process-log');
    return items.filter(({ level }) => level >= 40);
  };
  const before = await warnings();
  assert.equal(await statusOf('/ui/index.html'), 200);
  const parents = ['/ui/../package.json', '/ui/%2e%2e/package.json', '/ui/..%2fpackage.json', '/ui/..%5cpackage.json'];
  const inside = ['/ui/assets/../../package.json', '/ui/assets/none.js', '/ui/assets'];
  const odd = ['/ui/%00', '/ui/index.html%00.js', '/ui/.env', '/ui/.git/config', `/ui/${'a'.repeat(300)}`];
  for (const path of [...parents, ...inside, ...odd, '/docs/static/%2e%2e/package.json', '/docs/static/%00']) {
    assert.equal(await statusOf(path), 404, path);
  }
  assert.deepEqual(await warnings(), before);
});
