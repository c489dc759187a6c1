/** What a bundle is asked for in vain is said before anything is collected. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type FakeOrchestrator, fakeOrchestrator } from './fake-orchestrator.ts';
import { run } from './program.ts';

const directory = mkdtempSync(join(tmpdir(), 'lmas-bundle-'));
after(() => rmSync(directory, { recursive: true }));

async function lmas(fake: FakeOrchestrator, ...args: string[]) {
  let err = '';
  const code = await run(args, {
    ...{ stdout: { write: () => {} }, stdin: process.stdin, interrupted: new AbortController().signal },
    stderr: {
      write: (text: string) => {
        err += text;
      },
    },
    env: { LMAS_URL: fake.url, LMAS_API_KEY: 'key' },
  });
  return { code, err };
}

for (const [wanted, said] of [
  [['--log', '/no/such.log'], /^lmas: \/no\/such\.log cannot be read \(ENOENT\)/],
  [['--log', directory], /cannot be read \(EISDIR\)/],
  [['--migration', 'm_1'], /^lmas: --migration: "m_1" is not the id of a migration.*\n.*lmas list/],
] as const) {
  test(`${wanted.join(' ')}: wrong usage, and nothing is asked or written`, async () => {
    await using fake = await fakeOrchestrator();
    const file = join(directory, 'bundle.tar.gz');
    const { code, err } = await lmas(fake, 'support-bundle', '--output', file, ...wanted);
    assert.equal(code, 2, err);
    assert.match(err, said);
    assert.deepEqual(fake.calls, []);
    assert.equal(existsSync(file), false);
  });
}
