/** The places of endpoints that stand for many hosts, from the hypervisor to whoever chooses: two vCenters of the lab, REST, the page and `lmas`. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Inventory } from '@lmas/client';
import type { Browser, Page } from 'playwright-core';
import { alpha, beta, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { orchestrate } from '../vmware/orchestrated.ts';
import { type Api, temporaryDirectory } from '../workflow/harness.ts';
import { launchBrowser, Reader } from './browser.ts';

const all = new AsyncDisposableStack();
let api: Api;
let browser: Browser;
before(async () => {
  const { path } = all.use(await temporaryDirectory());
  const a = all.use(await LocalVcenter.start(beta([vmSpec('shop', { disks: [] })])));
  const b = all.use(await LocalVcenter.start(alpha([vmSpec('till')])));
  ({ api } = all.use(await orchestrate(path, { a, b })));
  browser = await launchBrowser();
  all.defer(() => browser.close());
});
after(() => all.disposeAsync());

async function reading(): Promise<Reader> {
  const reader = await Reader.open(browser, api.url);
  await reader.logIn(api.key);
  return reader;
}
const rowsOf = async (page: Page, caption: string): Promise<string[][]> =>
  await page
    .getByRole('table', { name: caption })
    .locator('tbody tr')
    .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent ?? '')));

test('the API tells hosts, storage and the host of a VM, and which options name one', async () => {
  const { hosts, storage, vms } = await api.must<Inventory>('GET', '/v1/endpoints/vc-b/inventory');
  assert.deepEqual(hosts.map(({ name, cluster }) => `${name} of ${cluster}`).sort(), [
    'esx-a1 of compute',
    'esx-a2 of compute',
  ]);
  assert.deepEqual(storage.map(({ name }) => name).sort(), ['local-1', 'local-2', 'shared']);
  assert.deepEqual(
    vms.map(({ name, host }) => [name, host]),
    [['till', 'esx-a1']],
  );
  const { items } = await api.must<{
    items: { optionsSchema: { properties: Record<string, { names?: string }> } }[];
  }>('GET', '/v1/plugins');
  const named = items.flatMap(({ optionsSchema }) =>
    Object.entries(optionsSchema.properties).flatMap(([name, { names }]) =>
      names === undefined ? [] : [[name, names]],
    ),
  );
  assert.deepEqual(named, [
    ['destinationHost', 'host'],
    ['datastore', 'storage'],
  ]);
});

test('the page of an endpoint shows its hosts, its storage, and where each VM runs', async () => {
  await using reader = await reading();
  const { page } = reader;
  await reader.visit('/endpoints/vc-b');
  await page.getByRole('heading', { name: 'Hosts' }).waitFor();
  assert.deepEqual((await rowsOf(page, 'Hosts at vc-b')).sort(), [
    ['esx-a1', 'compute', 'connected', '32', '8.00 MiB of 64.0 GiB used (0 %)'],
    ['esx-a2', 'compute', 'connected', '32', '0 B of 64.0 GiB used (0 %)'],
  ]);
  const room = '512 GiB of 1.00 TiB used (50 %)';
  assert.deepEqual((await rowsOf(page, 'Storage at vc-b')).sort(), [
    ['local-1', 'usable', 'esx-a1', room],
    ['local-2', 'usable', 'esx-a2', room],
    ['shared', 'usable', 'several hosts', room],
  ]);
  assert.deepEqual(
    (await rowsOf(page, 'VMs at vc-b')).map((cells) => cells.slice(0, 3)),
    [['till', 'running', 'esx-a1']],
  );
  assert.deepEqual(await reader.barriers('main'), []);
});

test('the form that moves a VM offers the places of the destination to the options that name one', async () => {
  await using reader = await reading();
  const { page } = reader;
  await reader.visit('/migrations/new?source=vc-a&destination=vc-b');
  await page.getByText('More options').click();
  const offered = async (label: string) => {
    const list = await page.getByLabel(label, { exact: true }).getAttribute('list');
    assert.ok(list !== null, `${label} offers something`);
    const options = page.locator(`datalist[id="${list}"] option`);
    await options.first().waitFor({ state: 'attached' });
    return (
      await options.evaluateAll((all) => all.map((one) => `${one.getAttribute('value')}: ${one.getAttribute('label')}`))
    ).sort();
  };
  await page.locator('datalist option[value="esx-a2"]').waitFor({ state: 'attached' });
  assert.deepEqual(await offered('destinationHost'), [
    'esx-a1: cluster compute, 64.0 GiB of 64.0 GiB memory free',
    'esx-a2: cluster compute, 64.0 GiB of 64.0 GiB memory free',
  ]);
  assert.deepEqual(await offered('datastore'), [
    'local-1: at esx-a1, 512 GiB of 1.00 TiB free',
    'local-2: at esx-a2, 512 GiB of 1.00 TiB free',
    'shared: shared, 512 GiB of 1.00 TiB free',
  ]);
  assert.equal(await page.getByLabel('folder', { exact: true }).getAttribute('list'), null);
  const choice = (label: RegExp) => page.locator('label', { hasText: label }).locator('select');
  await choice(/^From/).selectOption('vc-b');
  await choice(/^To/).selectOption('vc-a');
  await page.locator('datalist option[value="esx-b1"]').waitFor({ state: 'attached' });
  assert.deepEqual(await offered('destinationHost'), ['esx-b1: 64.0 GiB of 64.0 GiB memory free']);
});

test('an endpoint is cordoned at its page, the sites tell, and it is let take VMs again', async () => {
  await using reader = await reading();
  const { page } = reader;
  await reader.visit('/endpoints/vc-a');
  await page.getByRole('button', { name: 'Cordon', exact: true }).click();
  await page.locator('dl.fields', { hasText: 'Takes no VMs' }).waitFor();
  await reader.visit('/sites');
  await page.getByText('takes no VMs').waitFor();
  assert.equal(await page.getByText('takes no VMs').count(), 1);
  await reader.visit('/endpoints/vc-a');
  await page.getByRole('button', { name: 'Uncordon' }).click();
  await page.getByRole('button', { name: 'Cordon', exact: true }).waitFor();
  assert.equal((await api.must<{ cordonedAt: null }>('GET', '/v1/endpoints/vc-a')).cordonedAt, null);
});
