/** The form that moves a VM, as it is filled: what it offers, and what it asks for. Against a real orchestrator and simulated hosts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ISOLATED_NETWORK } from '@lmas/plugin-simulated/world';
import type { Page } from 'playwright-core';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { setStage } from '../workflow/harness.ts';
import { useSetting } from './setting.ts';

const setting = useSetting();

const choice = (page: Page, label: RegExp) => page.locator('label', { hasText: label }).locator('select');
const NOTHING_CHOSEN = 'Choose a VM and where it shall go';

test('a VM is rehearsed: the form says what is connected, the copy is kept, undone at a word, and the VM stays where it is', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/new?source=${stage.source}&vm=${stage.vmId}&destination=${stage.destination}`);
  await page.getByText('it can be moved').waitFor();
  await page.getByLabel('What is done').selectOption('drill');
  await page.getByLabel('The copy is kept for').fill('60');
  assert.equal(await page.getByLabel('Max downtime').count(), 0, 'nothing is switched over');
  const networks = page.getByRole('group', { name: 'Networks' });
  await networks.getByText('What is not named is not connected.').waitFor();
  await networks.getByRole('button', { name: 'Add' }).click();
  await networks.getByLabel('Network at the source').fill('default');
  await networks.getByLabel('at the destination', { exact: true }).fill(ISOLATED_NETWORK);
  await page.getByText('it can be rehearsed').waitFor();
  await page.getByRole('button', { name: 'Start the drill' }).click();
  await page.locator('.badge', { hasText: /^kept$/ }).waitFor();
  await page.getByText(`connected to ${ISOLATED_NETWORK}`).waitFor();
  const { items } = await api.must<{ items: Migration[] }>('GET', `/v1/migrations?endpoint=${stage.source}`);
  assert.deepEqual(
    items.map(({ purpose, request }) => [purpose, request.drill?.keepMs]),
    [['drill', 3_600_000]],
  );
  assert.equal(stage.world.drills.copies.size, 1);
  await page.getByRole('button', { name: 'Cancel …' }).click();
  await page.getByRole('button', { name: 'Cancel the drill' }).click();
  await page.locator('.badge', { hasText: /^succeeded$/ }).waitFor();
  assert.deepEqual([stage.world.drills.leftovers, stage.world.violations], [[], []]);
  assert.deepEqual(stage.world.running(stage.vmId), ['source']);
});

test('a destination that is offered no more is not checked behind an empty field', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  stage.world.addVm('destination', { id: 'there', name: 'there' });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/new?source=${stage.source}&vm=${stage.vmId}&destination=${stage.destination}`);
  await page.getByText('it can be moved').waitFor();
  await choice(page, /^From/).selectOption(stage.destination);
  await choice(page, /^VM/).selectOption('there');
  assert.equal(await choice(page, /^To/).inputValue(), '');
  await page.getByText(NOTHING_CHOSEN).waitFor();
  await choice(page, /^To/).selectOption(stage.source);
  await page.getByText('it can be moved').waitFor();
});

test('among many VMs one is found by typing', async () => {
  const { api, directory, loggedIn } = setting();
  await using stage = await setStage(() => api, directory);
  for (let i = 0; i < 60; i += 1) stage.world.addVm('source', { id: `id-${i}`, name: `shop-${i}` });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/migrations/new?source=${stage.source}&destination=${stage.destination}`);
  const vm = page.getByLabel('VM', { exact: true });
  await page.getByText('One of 61 that run there').waitFor();
  await vm.fill('shop');
  await page.getByText('No such VM runs there.').waitFor();
  await page.getByText(NOTHING_CHOSEN).waitFor();
  await vm.fill('shop-57');
  await page.getByText('it can be moved').waitFor();
  assert.deepEqual(await reader.barriers('form'), []);
  await page.getByRole('button', { name: 'Move it' }).click();
  await page.getByText(`It runs at ${stage.destination}.`).waitFor();
  assert.deepEqual(stage.world.running('id-57'), ['destination']);
});
