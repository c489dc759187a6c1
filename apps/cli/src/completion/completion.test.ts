import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { siteSchema } from '../../../orchestrator/src/schemas/site.ts';
import { answer, fakeOrchestrator } from '../fake-orchestrator.ts';
import { buildProgram } from '../program.ts';
import type { Terminal } from '../terminal.ts';
import { complete } from './candidates.ts';
import { SCRIPTS, type Shell } from './scripts.ts';

const silent = { write: () => undefined };
const terminal: Terminal = {
  ...{ stdout: silent, stderr: silent, stdin: process.stdin, env: {} },
  interrupted: new AbortController().signal,
};
const completion = (...words: string[]) => complete(buildProgram(terminal, { exitCode: 0 }), words);
const values = (...words: string[]) => completion(...words).candidates.map(({ value }) => value);

test('commands, then those of their group', () => {
  assert.ok(values('').includes('migrate'));
  assert.ok(!values('').includes('complete'), 'hidden');
  assert.deepEqual(values('sit'), ['site']);
  assert.deepEqual(values('site', 're'), ['remove']);
});

test('flags of the command that is written, and their values', () => {
  assert.deepEqual(values('migrate', 'web-1', '--net'), ['--network-map']);
  assert.deepEqual(values('migrate', '--suite', 'aes'), ['aes-256-gcm']);
  assert.deepEqual(values('migrate', '--suite=aes'), ['--suite=aes-256-gcm']);
  assert.ok(values('site', 'add', '--').includes('--json'));
  // The value of a flag is no command and no argument.
  assert.deepEqual(values('--url', 'site', 'vers'), ['version']);
});

test('what only the orchestrator knows is said by its kind', () => {
  assert.equal(completion('migrate', 'web-1', '--from', '').kind, 'endpoint');
  assert.equal(completion('get', 'm_').kind, 'migration');
  assert.equal(completion('site', 'get', '').kind, 'site');
  assert.equal(completion('link', 'test', 'a', '').kind, 'site');
  assert.equal(completion('context', 'use', '').kind, 'context');
  for (const [kind, words] of Object.entries({
    plan: 'plan get',
    'plan-run': 'plan cancel',
    schedule: 'schedule set',
    policy: 'policy run',
    endpoint: 'evacuate',
    migration: 'log',
  })) {
    assert.equal(completion(...words.split(' '), '').kind, kind, words);
  }
  assert.equal(completion('schedule', 'set', 'x', '--plan', '').kind, 'plan');
  assert.equal(completion('policy', 'status', '').kind, undefined, 'no list has the runs of policies');
  assert.equal(completion('site', 'add', '').kind, undefined, 'a new name');
  assert.equal(completion('site', 'get', 'a', '').kind, undefined, 'there is no second one');
});

const siteListSchema = z.strictObject({ items: z.array(siteSchema) });
const SITES = ['dc-1', 'dc-2', 'other'].map((id) => ({ id, createdAt: '2026-01-01T00:00:00.000Z' }));

/** What stands in the line after the tab key, in the real shell. */
const ASK: Readonly<Record<Shell, (line: string) => string[]>> = {
  bash: (line) => [
    '--norc',
    '-c',
    `source "$LMAS_SCRIPT"; COMP_LINE=${quoted(line)}; COMP_POINT=\${#COMP_LINE}; COMP_WORDS=(\${COMP_LINE//=/ = }); [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _lmas; printf '%s\\n' "\${COMPREPLY[@]}"`,
  ],
  // zsh completes in its line editor only: what the function hands to _describe is looked at.
  zsh: (line) => [
    '-fc',
    `compdef() { : }; meaning=theirs; _describe() { print -rl -- "\${(@)candidates%%:*}" }; _files() { : }; source "$LMAS_SCRIPT"; words=(\${(s: :)\${:-${quoted(line)}}}); [[ ${quoted(line)} == *' ' ]] && words+=(''); CURRENT=$#words; _lmas; [[ $meaning == theirs ]] || print leaked`,
  ],
  fish: (line) => [
    '--no-config',
    '-c',
    `source $LMAS_SCRIPT; complete -C ${quoted(line)} | string split -f1 \\t; true`,
  ],
};

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

describe('in the real shells', () => {
  let directory = '';
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lmas-completion-'));
    await symlink(fileURLToPath(new URL('../../bin/lmas.mjs', import.meta.url)), join(directory, 'lmas'));
  });
  after(() => rm(directory, { recursive: true }));

  for (const shell of ['bash', 'zsh', 'fish'] as const) {
    const program = `/usr/bin/${shell}`;
    const skip = existsSync(program) ? false : `There is no ${shell} here.`;
    test(shell, { skip, timeout: 30_000 }, async () => {
      await using fake = await fakeOrchestrator();
      fake.on('GET /v1/sites', answer(200, siteListSchema, { items: SITES }));
      const script = join(directory, `script.${shell}`);
      await writeFile(script, SCRIPTS[shell]);
      const PATH = [directory, join(process.execPath, '..'), process.env.PATH].join(delimiter);
      const env = { PATH, LMAS_SCRIPT: script, LMAS_URL: fake.url, LMAS_API_KEY: 'k', HOME: directory };
      const ask = async (line: string) => {
        const { stdout } = await promisify(execFile)(program, ASK[shell](line), { env });
        return stdout.trim().split('\n');
      };
      assert.deepEqual(await ask('lmas site re'), ['remove']);
      assert.deepEqual(await ask('lmas site get dc'), ['dc-1', 'dc-2']);
      assert.deepEqual(await ask('lmas migrate web-1 --suite ch'), ['chacha20-poly1305']);
    });
  }
});
