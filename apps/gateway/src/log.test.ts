/** Where the log cannot be written: lines are lost and counted, the process goes on. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createLog } from './log.ts';

function directory(t: TestContext): string {
  const made = mkdtempSync(path.join(tmpdir(), 'lmas-log-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}
const linesOf = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line): { message: string; lost?: number } => JSON.parse(line));

test('what a full disk does not take is lost, and told in number once there is room', (t) => {
  const file = path.join(directory(t), 'log');
  symlinkSync('/dev/full', file);
  const log = createLog(file);
  log.info('lost');
  log.debug('not asked for');
  log.warn('lost as well');
  rmSync(file);
  log.info('there is room');
  log.info('nothing more is missing');
  assert.deepEqual(
    linesOf(file).map(({ message, lost }) => [message, lost]),
    [
      ['there is room', undefined],
      ['lines before this could not be written', 2],
      ['nothing more is missing', undefined],
    ],
  );
});

test('a file that was moved away is kept as it is, and a new one goes on', (t) => {
  const file = path.join(directory(t), 'log');
  const log = createLog(file);
  log.info('first');
  renameSync(file, `${file}.1`);
  log.info('second');
  assert.deepEqual(
    [`${file}.1`, file].map((each) => linesOf(each).map(({ message }) => message)),
    [['first'], ['second']],
  );
});

test('a file that cannot be opened at the start is an error', (t) => {
  assert.throws(() => createLog(path.join(directory(t), 'missing', 'log')), { code: 'ENOENT' });
});

const module = JSON.stringify(path.join(import.meta.dirname, 'log.ts'));
/** A process of its own, which says at its end that it came so far. */
function inProcess(
  command: readonly [string, ...string[]],
  script: string,
): ChildProcess & { stdout: NodeJS.ReadableStream } {
  const source = `import { createLog } from ${module}; ${script}; process.stdout.write('went on');`;
  const [program, ...args] = command;
  const child = spawn(program, [...args, process.execPath, '--input-type=module', '-e', source]);
  return child as ReturnType<typeof inProcess>;
}
async function outputOf({ stdout }: { stdout: NodeJS.ReadableStream }): Promise<string> {
  let text = '';
  for await (const chunk of stdout) text += String(chunk);
  return text;
}

test('without a descriptor left it is written all the same', { timeout: 20_000 }, async (t) => {
  const file = path.join(directory(t), 'log');
  const child = inProcess(
    ['sh', '-c', 'ulimit -n 64; exec "$@"', 'sh'],
    `import { openSync } from 'node:fs';
     const log = createLog(${JSON.stringify(file)});
     let code;
     while (code === undefined) try { openSync('/dev/null'); } catch (error) { code = error.code; }
     log.info(code)`,
  );
  assert.equal(await outputOf(child), 'went on');
  assert.deepEqual(
    linesOf(file).map(({ message }) => message),
    ['EMFILE'],
  );
});

test('a reader of standard error that is gone ends nothing', { timeout: 20_000 }, async () => {
  const child = inProcess(
    ['env'],
    `import { once } from 'node:events';
     const log = createLog(null);
     await once(process.stdin, 'data');
     for (let i = 0; i < 3; i += 1) { log.error('to nobody'); await new Promise(setImmediate); }
     process.stdin.destroy()`,
  );
  child.stderr?.destroy();
  await once(child.stderr as NodeJS.ReadableStream, 'close');
  child.stdin?.write('the reader is gone');
  assert.equal(await outputOf(child), 'went on');
});
