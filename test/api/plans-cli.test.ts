/** `lmas schedule`, `lmas plan` and `lmas evacuate`, against a real orchestrator. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { PlanRun } from '@lmas/client';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Api, type Stage, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

const BINARY = fileURLToPath(new URL('../../apps/cli/bin/lmas.mjs', import.meta.url));
const RUN = /r_[0-9a-f-]{36}/;
const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let stage: Stage;
before(async () => {
  orchestrator = await startInProcess(directory.path);
  const api = await Api.of(orchestrator);
  stage = await setStage(() => api, directory.path);
});
after(async () => {
  await stage[Symbol.asyncDispose]();
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

function lmas(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const env = { PATH: process.env.PATH ?? '', LMAS_URL: orchestrator.url, LMAS_DATA_DIR: directory.path, TZ: 'UTC' };
  return new Promise((resolve) => {
    execFile(process.execPath, [BINARY, ...args], { env }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    );
  });
}
async function must(...args: string[]): Promise<string> {
  const { code, out, err } = await lmas(...args);
  assert.equal(code, 0, `lmas ${args.join(' ')}: ${out}${err}`);
  return out;
}

test('a plan as a file: refused with reasons, stored, compared, validated, run, reported, taken back', async () => {
  const { source, destination, vmId } = stage;
  const file = join(directory.path, 'plan.yaml');
  const plan = (vm: string) => `# A plan of one VM
id: payments
description: Payments
waves:
  - name: first
    vms:
      - { kind: vm, vm: ${vm}, source: { endpoint: ${source} }, destination: { endpoint: ${destination} } }
migration:
  options: { durationMs: 20 }
`;
  await writeFile(file, plan('nobody'));
  const refused = await lmas('plan', 'apply', file);
  assert.deepEqual([refused.code, /there is no VM nobody/.test(refused.err)], [4, true], refused.err);
  await writeFile(file, `${plan(vmId)}waves: []\n`);
  const twice = await lmas('plan', 'apply', file);
  assert.deepEqual([twice.code, /not YAML: Map keys must be unique/.test(twice.err)], [2, true], twice.err);
  await writeFile(file, plan(vmId));
  assert.equal((await lmas('plan', 'diff', file)).code, 1, 'it is not there yet');
  assert.match(await must('plan', 'apply', file), /Plan payments stored/);
  assert.equal((await lmas('plan', 'diff', file)).code, 0);
  await writeFile(file, plan(vmId).replace('name: first', 'name: only'));
  const diff = await lmas('plan', 'diff', file);
  assert.deepEqual([diff.code, /-\s+- name: first\n\+\s+- name: only/.test(diff.out)], [1, true], diff.out);
  await writeFile(file, await must('plan', 'get', 'payments'));
  assert.equal((await lmas('plan', 'diff', file)).code, 0, 'what is printed can be applied');
  assert.match(await must('plan', 'list'), /payments/);

  const looked = await lmas('plan', 'validate', 'payments');
  assert.deepEqual([looked.code, /Every check passed/.test(looked.out)], [0, true], looked.out);
  assert.match(looked.err, /succeeded: 1 of 1 VM can be moved/);
  assert.doesNotMatch(looked.out + looked.err, /skipped|moved,/, 'nothing was to be moved');
  const out = await must('plan', 'run', 'payments', '--mode', 'failover', '--watch', '--json');
  const events = out
    .trimEnd()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { type: string; message: string });
  assert.deepEqual([events[0]?.message, events.at(-1)?.type], ['The run begins: failover.', 'end']);
  const last = JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as { id: string; phase: string };
  assert.equal(last.phase, 'succeeded');
  assert.match(await must('plan', 'status', last.id), /moved/);
  const watched = await lmas('plan', 'status', last.id, '--watch');
  assert.match(watched.err, /: It is ordered to move\.[\s\S]*: succeeded: 1 of 1 VM moved, 0 move/);
  assert.match(await must('plan', 'report', last.id), /1 of 1 VM moved\. It took/);
  const page = join(directory.path, 'report.html');
  await must('plan', 'report', last.id, '--html', page);
  assert.match(await readFile(page, 'utf8'), /^<!doctype html>/);
  assert.match(await must('plan', 'fail-back', last.id, '--watch'), /Every VM has moved/);
  assert.deepEqual(stage.world.running(vmId), ['source']);
  assert.match(await must('plan', 'runs', 'payments'), /failover/);
  const over = await lmas('plan', 'retry', last.id);
  assert.deepEqual([over.code, /RUN_STATE/.test(over.err)], [4, true], over.err);
  assert.equal((await lmas('plan', 'run', 'payments')).code, 2, 'a mode is needed');
});

test('a host is emptied, and filled again; a site as well', async () => {
  const { source, destination, vmId } = stage;
  assert.equal((await lmas('evacuate', source)).code, 2);
  const blocked = await lmas('evacuate', source, '--to-site', 'nowhere');
  assert.deepEqual([blocked.code, /there is no site nowhere/.test(blocked.err)], [4, true], blocked.err);
  const out = await must('evacuate', source, '--to', destination, '--watch');
  assert.deepEqual(stage.world.running(vmId), ['destination']);
  await must('plan', 'fail-back', RUN.exec(out)?.[0] ?? '', '--watch');
  assert.deepEqual(stage.world.running(vmId), ['source']);
  const all = ['--site', source, '--to-site', destination, '--first', vmId, '--order', 'largest'];
  await must('evacuate', ...all, '--refuse-silent', '--overcommit', '--watch');
  await must('evacuate', '--site', destination, '--to-site', source, '--watch');
  assert.deepEqual(stage.world.running(vmId), ['source']);
});

test('a VM that is off by now holds up no fail-back for good: what is to be left is named', async () => {
  const { source, destination, vmId, vmName, world } = stage;
  const idle = { id: randomUUID(), name: 'idle' };
  world.addVm('source', idle);
  const run = RUN.exec(await must('evacuate', source, '--to', destination, '--watch'))?.[0] ?? '';
  const there = world.vm('destination', idle.id) ?? assert.fail();
  there.presence = 'stopped';
  await must('plan', 'fail-back', run, '--leave-powered-off', '--watch');
  assert.deepEqual([world.running(vmId), world.running(idle.id)], [['source'], []]);
  there.presence = 'running';
  const refused = await lmas('plan', 'fail-back', run, '--watch');
  assert.equal(refused.code, 1);
  assert.match(refused.out + refused.err, new RegExp(`lmas plan fail-back ${run} --except VM`));
  const mistyped = await lmas('plan', 'fail-back', run, '--except', 'nobody');
  assert.deepEqual([mistyped.code, /has no nobody to except/.test(mistyped.err)], [4, true], mistyped.err);
  const back = RUN.exec(await must('plan', 'fail-back', run, '--except', vmName, '--watch'))?.[0] ?? '';
  assert.deepEqual([world.running(vmId), world.running(idle.id)], [['source'], ['source']]);
  const { definition } = JSON.parse(await must('plan', 'status', back, '--json')) as PlanRun;
  assert.equal(definition.description, `Back, without ${vmName}: Evacuation of ${source}`);
  assert.deepEqual(world.violations, []);
});

test('a schedule from flags: previewed, made, paused, run, its history; refused with every reason', async () => {
  const { source, destination, vmId } = stage;
  const what = ['--vm', vmId, '--from', source, '--to', destination];
  const when = ['--cron', '30 2 * * *', '--time-zone', 'Europe/Lisbon', '--window', 'fri-sun 22:00-06:00'];
  const preview = await must('schedule', 'add', 'nightly', ...what, ...when, '--preview', '--json');
  assert.equal((JSON.parse(preview) as { items: object[] }).items.length, 10);
  assert.equal((await lmas('schedule', 'get', 'nightly')).code, 4, 'a preview stores nothing');
  await must('schedule', 'add', 'nightly', ...what, ...when, '--missed', 'next-window');
  assert.match(await must('schedule', 'get', 'nightly'), /fri,sat,sun 22:00-06:00/);
  assert.match(await must('schedule', 'preview', 'nightly', '--count', '3'), /02:30 Europe\/Lisbon/);
  assert.match(await must('schedule', 'pause', 'nightly'), /State +paused/);
  assert.equal((await lmas('schedule', 'run', 'nightly')).code, 4);
  assert.match(await must('schedule', 'resume', 'nightly'), /State +active/);
  await must('schedule', 'run', 'nightly');
  assert.match(await must('schedule', 'list'), /nightly/);
  await must('schedule', 'history', 'nightly');
  await must('schedule', 'remove', 'nightly');
  const senseless = await lmas(
    'schedule',
    'add',
    'x',
    ...what,
    '--cron',
    '0 0 30 2 *',
    '--window',
    '2020-01-01/2020-01-02',
  );
  assert.equal(senseless.code, 4);
  assert.match(senseless.err, /trigger\.expression: never comes[\s\S]*windows: never opens again/);
  const odd = await lmas('schedule', 'add', 'x', ...what, ...when, '--window', 'whenever');
  assert.deepEqual([odd.code, /is no time of the week/.test(odd.err)], [2, true], odd.err);
  assert.equal((await lmas('schedule', 'add', 'x', '--file', 'f', '--cron', '* * * * *')).code, 2);
});

test('bandwidth by the time of day, of a link and of the whole', async () => {
  const { source, destination } = stage;
  const none = await lmas('link', 'timetable', source, destination);
  assert.deepEqual([none.code, none.out], [0, ''], none.err);
  assert.match(none.err, /No bandwidth by the time of day is set/);
  const at = ['--at', '00:00-00:00=80Mbit', '--time-zone', 'Europe/Lisbon'];
  assert.match(await must('link', 'timetable', source, destination, ...at), /Now +80.0 Mbit\/s/);
  assert.match(await must('link', 'list'), /80.0 Mbit\/s/, 'the limit is set at once');
  await must('link', 'timetable', source, destination, '--remove');
  await must('queue', 'timetable', '--at', 'mon-fri 08:00-19:00=1Gbit', '--otherwise', 'unlimited');
  assert.match(await must('queue', 'timetable'), /mon,tue,wed,thu,fri 08:00-19:00: 1.00 Gbit/);
  await must('queue', 'timetable', '--remove');
  assert.equal((await lmas('queue', 'timetable', '--otherwise', '1Gbit')).code, 2);
});
