/** What the web page tells people to look after, and how it says what went wrong. Against a real orchestrator and simulated hosts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setStage } from '../workflow/harness.ts';
import { setClockOff } from './browser.ts';
import { useSetting } from './setting.ts';

const setting = useSetting(undefined, { LMAS_SETTLE_MS: '1000' });

test('a VM that nobody knows the place of stands on the overview until somebody says that it is done', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  const hold = stage.world.faults.arm('source.perform', 'hold-after');
  const { id } = await stage.submit({ transport: 'direct', options: { durationMs: 20 } });
  await hold.reached;
  stage.server.goAway('destination');
  hold.release();
  const { byHand } = await api.ended(id);
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/');
  const need = page.getByRole('region', { name: 'Needs a person' }).getByRole('listitem');
  await need.getByText(byHand?.slice(0, 60) ?? assert.fail('it asks for nothing')).waitFor();
  assert.deepEqual(await reader.barriers(), []);
  await need.getByRole('link', { name: stage.vmName }).click();
  await page.getByRole('button', { name: 'This is done …' }).click();
  const question = page.getByRole('dialog');
  await question.getByLabel('What was found and done').fill('it runs at the source');
  await question.getByRole('button', { name: 'It is done' }).click();
  for (const openedLate of [false, true]) {
    if (openedLate) await page.reload();
    await page.getByText(/Done, said .*it runs at the source/).waitFor();
    assert.equal(await page.getByRole('button', { name: 'This is done …' }).count(), 0);
  }
  await reader.visit('/');
  await page.getByRole('heading', { name: 'Needs a person' }).waitFor({ state: 'detached' });
  await reader.visit('/migrations?needs=person');
  await page.getByText('No migration fits.').waitFor();
});

test('who may only look is told what needs a person, and offered nothing to say about it', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  const hold = stage.world.faults.arm('gateway.start', 'hold-after');
  const { id } = await stage.submit({ retries: { max: 0, backOffMs: 100 } });
  await hold.reached;
  stage.server.goAway();
  hold.release();
  const { leftovers } = await api.until(id, ({ teardown }) => teardown === 'incomplete');
  const { key } = await api.must<{ key: string }>('POST', '/v1/api-keys', { name: 'eyes', role: 'viewer' });
  await using reader = await loggedIn({}, key);
  const { page } = reader;
  await reader.visit('/');
  const need = page.getByRole('region', { name: 'Needs a person' }).getByRole('listitem');
  await need.getByText(leftovers[0]?.slice(0, 40) ?? assert.fail('nothing is left')).waitFor();
  assert.equal(await page.locator('main button:not(.sort)').count(), 0);
  stage.server.comeBack();
  await need.waitFor({ state: 'detached', timeout: 30_000 });
});

test('what several parts of a page cannot load is told once; what is not there, by its name and once', async () => {
  const { loggedIn } = setting();
  await using reader = await loggedIn();
  const { page } = reader;
  const alerts = page.getByRole('alert');
  await reader.visit('/schedules/nobody');
  await alerts.first().waitFor();
  assert.deepEqual(await alerts.allInnerTexts(), ['There is no schedule nobody.\n\nSCHEDULE_NOT_FOUND']);
  await reader.visit('/');
  await page.getByText('Nothing waits.').waitFor();
  await page.route('**/v1/**', (route) => route.abort());
  await page.reload();
  await page.getByRole('alert').or(page.getByText('cannot be reached')).first().waitFor();
  const told = await page.locator('main').innerText();
  assert.equal(told.split('cannot be reached').length - 1, 1, told);
  assert.doesNotMatch(told, /Failed to fetch|status \d/);
});

test('what could not be asked is asked again until the orchestrator answers, also where no news is waited for', async () => {
  const { api, loggedIn } = setting();
  await api.must('POST', '/v1/sites', { id: 'asked-again' });
  await using reader = await loggedIn();
  const { page } = reader;
  const away = page.getByRole('alert').getByText('It is asked again until it answers.');
  const goAway = () => page.route('**/v1/**', (route) => route.abort());
  const comeBack = () => page.unroute('**/v1/**');
  await goAway();
  for (const [path, shown] of [
    ['/plans', 'There is no plan'],
    ['/sites', 'asked-again'],
    ['/audit', 'entries are kept'],
  ] as const) {
    await reader.visit(path);
    await away.waitFor();
    await comeBack();
    await page.locator('main').getByText(shown).first().waitFor();
    await away.waitFor({ state: 'detached' }); // each part of the page asks again at a time of its own
    await goAway();
  }
  await comeBack();
  await reader.visit('/new/plan');
  const name = page.getByLabel('Name', { exact: true });
  await name.waitFor();
  await goAway();
  await name.fill('payments');
  await away.waitFor();
  await comeBack();
  await page.getByRole('alert').getByText('INVALID_PLAN').waitFor();
});

test('a proxy that answers in place of the orchestrator is told as that', async () => {
  const { loggedIn } = setting();
  await using reader = await loggedIn();
  const { page } = reader;
  await page.route('**/v1/plugins', (route) => route.fulfill({ status: 502, body: '<html>Bad Gateway</html>' }));
  await reader.visit('/new/endpoint');
  await page.getByRole('alert').getByText('A proxy answered in place of the orchestrator: 502').waitFor();
});

test('how long a step takes is told by the orchestrator’s clock, however wrong that of the browser is', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  stage.world.rates.set('source', 300 << 20);
  stage.world.addVm('source', { id: 'large', name: 'large', memoryBytes: 2 ** 40 });
  const { id } = await stage.submit({ vm: 'large' });
  await api.until(id, ({ phase }) => phase === 'performing');
  for (const offMs of [3_600_000, -3_600_000]) {
    await using reader = await loggedIn();
    const { page } = reader;
    await setClockOff(page, offMs);
    await reader.visit(`/migrations/${id}`);
    const took = page.locator('[aria-current=step] .took').first();
    await took.getByText(/\d/).waitFor();
    assert.match(await took.innerText(), /^0:[0-5]\d$/, `${offMs} ms off`);
  }
  await api.must('POST', `/v1/migrations/${id}/cancel`);
  await api.ended(id);
});

test('the audit log is searched by who, what, of what and when, and the address keeps it', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  const portal = await api.must<{ id: string; key: string }>('POST', '/v1/api-keys', {
    ...{ name: 'portal', role: 'operator' },
  });
  const refused = await fetch(`${api.url}/v1/sites/${stage.source}`, {
    ...{ method: 'DELETE', headers: { authorization: `Bearer ${portal.key}` } },
  });
  assert.ok(refused.status >= 400);
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/audit');
  const rows = page.locator('tbody tr');
  const search = async (label: string, text: string) => {
    await page.getByLabel(label, { exact: true }).fill(text);
    await page.keyboard.press('Tab');
  };
  await search('What', 'createEndpoint');
  await page.waitForURL(/operation=createEndpoint/);
  const others = rows.filter({ hasNotText: 'createEndpoint' });
  await others.first().waitFor({ state: 'detached' });
  await rows.first().waitFor();
  assert.equal(await others.count(), 0);
  await search('What', '');
  await page.getByRole('link', { name: 'portal', exact: true }).first().click();
  await page.waitForURL(new RegExp(`caller=${portal.id}`));
  await page.reload();
  await reader.settled();
  assert.equal(await page.getByLabel('Who', { exact: true }).inputValue(), portal.id);
  await rows.first().waitFor();
  assert.equal(await rows.count(), 1, 'all that it did');
  await search('Of what', '/v1/sites/');
  await page.waitForURL(/target=/);
  await rows.getByText(`/v1/sites/${stage.source}`).waitFor();
  await search('Since', '2098-01-01T00:00');
  await page.getByText('Nothing.').waitFor();
  await search('Since', '2020-01-01T00:00');
  await rows.first().waitFor();
  await search('Until', '2020-01-02T00:00');
  await page.getByText('Nothing.').waitFor();
});
