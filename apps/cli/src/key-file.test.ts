/** A key that goes into a file: nobody is left with a key that is valid and nowhere. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { newApiKeySchema } from '../../orchestrator/src/schemas/api-key.ts';
import { answer, fakeOrchestrator, problem } from './fake-orchestrator.ts';
import { lmas } from './fake-terminal.ts';

const directory = mkdtempSync(join(tmpdir(), 'lmas-key-file-'));
after(() => rmSync(directory, { recursive: true }));

const made = {
  ...{ id: 'k3v9x2m1q8ab', name: 'portal', role: 'viewer', project: null, operations: null, key: 'lmas_shown-once' },
  ...{ createdAt: '2026-01-01T00:00:00.000Z', expiresAt: null, lastUsedAt: null, revokedAt: null },
  ...{ createdBy: 'first', rotatedAt: null, formerValidUntil: null },
};
const COMMANDS = [
  { args: ['api-key', 'create', 'portal', '--role', 'viewer'], route: 'POST /v1/api-keys' },
  { args: ['api-key', 'rotate', 'k3v9x2m1q8ab'], route: 'POST /v1/api-keys/k3v9x2m1q8ab/rotate' },
];

/** Files may have no more bytes than that, in this process. */
const limitFiles = (bytes: string) =>
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`], { stdio: 'pipe' });

for (const { args, route } of COMMANDS) {
  const name = args[1] ?? '';

  test(`${name}: the key is in a file that only its owner reads, and nowhere else`, async () => {
    await using fake = await fakeOrchestrator();
    fake.on(route, answer(201, newApiKeySchema, made));
    const file = join(directory, `${name}-key`);
    const { code, out, err } = await lmas(fake, ...args, '--output', file);
    assert.equal(code, 0, err);
    assert.equal(readFileSync(file, 'utf8'), 'lmas_shown-once\n');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.doesNotMatch(out + err, /lmas_shown-once/);
  });

  test(`${name}: a file that cannot be written is told of before a key is made`, async () => {
    await using fake = await fakeOrchestrator();
    fake.on(route, answer(201, newApiKeySchema, made));
    const there = join(directory, `${name}-there`);
    writeFileSync(there, 'somebody’s');
    for (const file of [there, join(directory, 'no', 'such')]) {
      assert.equal((await lmas(fake, ...args, '--output', file)).code, 2);
    }
    assert.equal(readFileSync(there, 'utf8'), 'somebody’s');
    assert.deepEqual(fake.calls, []);
  });

  test(`${name}: where no key was made, no file is left`, async () => {
    await using fake = await fakeOrchestrator();
    fake.on(route, problem(403, 'FORBIDDEN', 'not yours'));
    const file = join(directory, `${name}-none`);
    assert.equal((await lmas(fake, ...args, '--output', file)).code, 4);
    assert.equal(existsSync(file), false);
  });

  test(`${name}: a key that can be written no more is printed, and that is a failure`, async () => {
    await using fake = await fakeOrchestrator();
    fake.on(route, (call, response) => {
      limitFiles('0');
      answer(201, newApiKeySchema, made)(call, response);
    });
    const file = join(directory, `${name}-full`);
    const { code, out, err } = await lmas(fake, ...args, '--output', file).finally(() => limitFiles('unlimited'));
    assert.equal(code, 1, err);
    assert.equal(out, 'lmas_shown-once\n');
    assert.match(err, /is printed instead/);
    assert.equal(existsSync(file), false);
  });
}
