/** Links at the web page: limits, and bandwidth by the time of day. And a pass of a policy as what a schedule starts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { type Stage, setStage } from '../workflow/harness.ts';
import { useSetting } from './setting.ts';

const setting = useSetting();
const linkOf = ({ source, destination }: Stage): string => [source, destination].sort().join('~');

async function newStage(): Promise<Stage> {
  const { api, directory } = setting();
  return await setStage(() => api, directory);
}

/** The value behind a name in a list of facts. */
const fact = (page: Page, name: string) => page.locator('.fields div', { hasText: name }).locator('dd');

test('a link is found among the sites, and its limits are set by who may, and not over somebody else’s', async () => {
  const { api, loggedIn } = setting();
  await using stage = await newStage();
  const path = `/v1/links/${linkOf(stage)}`;
  await api.call('PATCH', path, { rateBitsPerSec: 400_000_000 }, { 'if-match': '*' });
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/sites');
  await page
    .getByRole('row', { name: linkOf(stage).replace('~', ' – ') })
    .getByRole('link')
    .click();
  await page.getByText('400 Mbit/s').waitFor();
  await page.getByRole('button', { name: 'Change …' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Concurrent migrations, at most').fill('3');
  await dialog.getByRole('button', { name: 'Set', exact: true }).click();
  await page.getByText('0 of at most 3').waitFor();

  await page.getByRole('button', { name: 'Change …' }).click();
  await api.call('PATCH', path, { limits: { maxMigrations: 7 } }, { 'if-match': '*' });
  await dialog.getByLabel('Concurrent migrations, at most').fill('4');
  await dialog.getByRole('button', { name: 'Set', exact: true }).click();
  await dialog.getByRole('alert').getByText('PRECONDITION_FAILED').waitFor();
  assert.partialDeepStrictEqual(await api.must('GET', path), { limits: { maxMigrations: 7 } });
});

test('bandwidth by the time of day is set, changed, and removed', async () => {
  const { api, loggedIn } = setting();
  await using stage = await newStage();
  const path = `/v1/links/${linkOf(stage)}/bandwidth-timetable`;
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit(`/links/${linkOf(stage)}`);
  await page.getByText('The same at all times.').waitFor();
  await page.getByRole('link', { name: 'Set one …' }).click();
  const first = page.getByRole('group', { name: 'Time 1' });
  await first.getByLabel('fri').uncheck();
  await first.getByLabel('All together at most').fill('200');
  const monday = { days: ['mon'], from: '08:00', to: '12:00', bandwidthBytesPerSec: 7_000_000 };
  const others = { timeZone: 'UTC', periods: [monday], otherwise: null };
  await api.must('PUT', path, others);
  await page.getByRole('button', { name: 'Set it' }).click();
  await page.getByRole('alert').getByText('Somebody else has set times here').waitFor();
  assert.partialDeepStrictEqual(await api.must('GET', path), others);
  await api.must('DELETE', path);
  await page.getByLabel('Time zone').fill('Nowhere/Else');
  await page.getByRole('button', { name: 'Set it' }).click();
  await page.getByRole('alert').getByText('Time zone').waitFor();
  await page.getByLabel('Time zone').fill('Europe/Lisbon');
  await page.getByRole('button', { name: 'Set it' }).click();
  await fact(page, 'mon, tue, wed, thu 08:00–19:00').waitFor();
  const period = { days: ['mon', 'tue', 'wed', 'thu'], from: '08:00', to: '19:00', bandwidthBytesPerSec: 25_000_000 };
  assert.partialDeepStrictEqual(await api.must('GET', path), {
    ...{ timeZone: 'Europe/Lisbon', periods: [period], otherwise: null },
  });

  await page.getByRole('link', { name: 'Change the times …' }).click();
  await page.getByRole('button', { name: 'Add a time' }).click();
  await page.getByRole('group', { name: 'Time 2' }).getByLabel('From').fill('20:00');
  await page.getByRole('button', { name: 'Set it' }).click();
  await fact(page, 'fri 20:00–19:00').waitFor();

  await page.getByRole('button', { name: 'Remove the times' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('The limit stays as it is now').waitFor();
  await dialog.getByRole('button', { name: 'Remove', exact: true }).click();
  await page.getByText('The same at all times.').waitFor();
  const { status, body } = await api.call('GET', path);
  assert.deepEqual([status, body.code], [404, 'TIMETABLE_NOT_FOUND']);
});

test('operators set the times of the whole at the queue; those of a link are for admins', async () => {
  const { api, loggedIn } = setting();
  await using stage = await newStage();
  const { key } = await api.must<{ key: string }>('POST', '/v1/api-keys', { name: 'op', role: 'operator' });
  await using reader = await loggedIn({}, key);
  const { page } = reader;
  await reader.visit(`/links/${linkOf(stage)}`);
  await page.getByText('The same at all times.').waitFor();
  assert.deepEqual(
    [
      await page.getByRole('link', { name: 'Set one …' }).count(),
      await page.getByRole('button', { name: 'Change …' }).count(),
    ],
    [0, 0],
  );
  await reader.visit('/queue');
  await page.getByRole('link', { name: 'Set one …' }).click();
  await page.getByRole('button', { name: 'Set it' }).click();
  await page.getByRole('heading', { level: 1, name: 'Queue' }).waitFor();
  await fact(page, 'At all other times').waitFor();
  await api.must('DELETE', '/v1/queue/bandwidth-timetable');
});

test('a pass of a policy is scheduled', async () => {
  const { api, loggedIn } = setting();
  await using stage = await newStage();
  const policy = { id: stage.source, endpoints: [stage.source, stage.destination], passes: 'asked' };
  await api.must('POST', '/v1/balancing-policies', policy);
  await using reader = await loggedIn();
  const { page } = reader;
  await reader.visit('/new/schedule');
  await page.getByLabel('Name').fill(stage.source);
  await page.getByLabel('Starts', { exact: true }).selectOption('balancing');
  await page.getByLabel('Policy').selectOption(stage.source);
  await page.getByRole('button', { name: 'Add the schedule' }).click();
  await fact(page, 'Does').getByText(`a pass of policy ${stage.source}`).waitFor();
  assert.partialDeepStrictEqual(await api.must('GET', `/v1/schedules/${stage.source}`), {
    action: { kind: 'balancing', policy: stage.source },
  });
  await api.must('DELETE', `/v1/schedules/${stage.source}`);
});
