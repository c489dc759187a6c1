/** Standard output that cannot be written: said in a line, and not a success. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { newApiKeySchema } from '../../orchestrator/src/schemas/api-key.ts';
import { answer, fakeOrchestrator } from './fake-orchestrator.ts';

const BINARY = fileURLToPath(new URL('../bin/lmas.mjs', import.meta.url));

async function intoNothing(url: string, ...args: string[]) {
  const full = openSync('/dev/full', 'w');
  try {
    const child = spawn(process.execPath, [BINARY, ...args], {
      stdio: ['ignore', full, 'pipe'],
      env: { PATH: process.env.PATH ?? '', LMAS_URL: url, LMAS_API_KEY: 'key' },
    });
    const [err, [code]] = await Promise.all([text(child.stderr ?? assert.fail()), once(child, 'close')]);
    return { code, err };
  } finally {
    closeSync(full);
  }
}

const times = { createdAt: '2026-01-01T00:00:00.000Z', lastUsedAt: null };
const key = {
  ...{ id: 'k3v9x2m1q8ab', name: 'portal', role: 'viewer', project: null, operations: null, key: 'lmas_shown-once' },
  ...{ ...times, expiresAt: null, revokedAt: null, createdBy: 'first', rotatedAt: null, formerValidUntil: null },
};

test('nothing that was shown got out: one line, and 1', async () => {
  await using fake = await fakeOrchestrator();
  const { code, err } = await intoNothing(fake.url, 'context', '--help');
  assert.equal(code, 1);
  assert.equal(err, 'lmas: Standard output cannot be written (ENOSPC). (OUTPUT_LOST)\n');
  const inJson = await intoNothing(fake.url, 'context', 'list', '--json');
  assert.partialDeepStrictEqual(JSON.parse(inJson.err), { error: { code: 'OUTPUT_LOST', exitCode: 1 } });
});

test('of a secret that is told this once it is said what to do', async () => {
  await using fake = await fakeOrchestrator();
  fake.on('POST /v1/api-keys', answer(201, newApiKeySchema, key));
  const { code, err } = await intoNothing(fake.url, 'api-key', 'create', 'portal', '--role', 'viewer');
  assert.equal(code, 1);
  assert.match(err, /OUTPUT_LOST\)\n.*lmas api-key revoke k3v9x2m1q8ab, or lmas api-key rotate k3v9x2m1q8ab/);
  assert.doesNotMatch(err, /lmas_shown-once|\n +at /);
});
