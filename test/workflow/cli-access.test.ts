/** The command line's nouns of access, against a real orchestrator. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';

const BINARY = fileURLToPath(new URL('../../apps/cli/bin/lmas.mjs', import.meta.url));
const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
before(async () => {
  orchestrator = await startInProcess(directory.path);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function lmas(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const settings = {
    PATH: process.env.PATH ?? '',
    LMAS_URL: orchestrator.url,
    LMAS_DATA_DIR: directory.path,
    TZ: 'UTC',
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [BINARY, ...args], { env: { ...settings, ...env } }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    );
  });
}

async function must(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const ended = await lmas(args, env);
  assert.equal(ended.code, 0, `lmas ${args.join(' ')}: ${ended.out}${ended.err}`);
  return ended;
}

test('keys: made onto standard output alone, or into a private file; rotated, revoked', async () => {
  const { out, err } = await must(['api-key', 'create', 'a portal', '--role', 'viewer', '--expires-in', '24h']);
  assert.match(out, /^lmas_[a-z0-9]{12}_[A-Za-z0-9_-]{43}\n$/);
  assert.match(err, /not shown again/);
  const key = out.trim();
  const [, id = ''] = key.split('_');
  await must(['site', 'list'], { LMAS_API_KEY: key });
  const refused = await lmas(['site', 'add', 'x'], { LMAS_API_KEY: key });
  assert.deepEqual([refused.code, /FORBIDDEN|role admin/.test(refused.err)], [4, true], refused.err);

  const file = join(directory.path, 'portal-key');
  const rotated = await must(['api-key', 'rotate', id, '--grace', '0s', '--output', file]);
  assert.equal(rotated.out, '');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await lmas(['site', 'list'], { LMAS_API_KEY: key })).code, 4);
  await must(['site', 'list', '--api-key-file', file]);
  assert.match((await must(['api-key', 'list'])).out, /a portal/);
  await must(['api-key', 'revoke', id]);
  assert.equal((await lmas(['site', 'list', '--api-key-file', file])).code, 4);
  assert.match((await must(['api-key', 'list'])).out, /a portal +viewer +all +revoked/);
  assert.ok(!(await must(['api-key', 'list', '--json'])).out.includes((await readFile(file, 'utf8')).slice(18, 40)));
});

test('projects, the audit log, the master key', async () => {
  const api = await Api.of(orchestrator);
  await using stage = await setStage(() => api, directory.path);
  assert.match((await must(['project', 'add', 'red', '--endpoint', stage.source])).out, new RegExp(stage.source));
  assert.match((await must(['project', 'set', 'red', '--all-endpoints'])).out, /red +all/);
  assert.match((await must(['project', 'list'])).out, /red +all +none/);
  const limits = ['--max-migrations', '5', '--max-waiting', '200', '--max-priority', '60'];
  assert.match((await must(['project', 'set', 'red', ...limits])).out, /red +all +5 at once, 200 waiting, priority 60/);
  const lifted = ['--max-migrations', 'unlimited', '--max-priority', 'unlimited'];
  assert.match((await must(['project', 'set', 'red', ...lifted])).out, /red +all +200 waiting/);
  const wrong = await lmas(['project', 'set', 'red', '--max-priority', '101']);
  assert.deepEqual([wrong.code, /0.*100/.test(wrong.err)], [2, true], wrong.err);
  await must(['project', 'remove', 'red']);
  const audit = await must(['audit', '--operation', 'deleteProject']);
  assert.match(audit.out, /first .*deleteProject +\/v1\/projects\/red +done/);
  assert.match(audit.err, /entries are kept, at most 100000 of each project/);
  await lmas(['site', 'list'], { LMAS_API_KEY: 'wrong' });
  assert.match((await must(['audit', '--strangers'])).out, /\(nobody\) +listSites .*refused \(UNAUTHENTICATED\)/);
  const before = JSON.parse((await must(['master-key', 'show', '--json'])).out);
  assert.match((await must(['master-key', 'rotate'])).err, /Sealed anew: 1 secret\./);
  assert.notEqual(JSON.parse((await must(['master-key', 'show', '--json'])).out).current, before.current);
});

test('host keys are pinned only by who says what is pinned now', async () => {
  const api = await Api.of(orchestrator);
  await using stage = await setStage(() => api, directory.path);
  const [former, next] = [`SHA256:${'A'.repeat(43)}`, `SHA256:${'B'.repeat(43)}`];
  const asked = await lmas(['host-key', 'pin', next, '--site', stage.source]);
  assert.equal(asked.code, 2);
  assert.ok(asked.err.includes(`--replaces ${former}`), asked.err);
  const wrong = await lmas(['host-key', 'pin', next, '--site', stage.source, '--replaces', next]);
  assert.deepEqual([wrong.code, wrong.err.includes(former)], [4, true]);
  await must(['host-key', 'pin', next, '--site', stage.source, '--replaces', former]);
  assert.match((await must(['site', 'list', '--json'])).out, /B{43}/);
});
