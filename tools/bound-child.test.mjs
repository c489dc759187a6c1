import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

const MODULE = JSON.stringify(new URL('bound-child.mjs', import.meta.url).href);
/** Says when it is there, and how it was told to end. */
const PROGRAM = `
  process.on('SIGTERM', () => { console.log('told to end'); process.exit(); });
  console.log('parent fd', process.env.LMAS_PARENT_FD);
  setTimeout(() => console.log('ended by itself'), 20_000);
`;

/** A process that does nothing but run `program` as its child. */
function wrap(program) {
  const script = `
    import { spawnBound } from ${MODULE};
    spawnBound(process.execPath, ['-e', ${JSON.stringify(program)}]).on('exit', (code) => process.exit(code ?? 1));
  `;
  return spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
}

test('a child ends with its parent, however that ended, and is told as by SIGTERM', { timeout: 60_000 }, async () => {
  const wrapper = wrap(PROGRAM);
  const [first] = await once(wrapper.stdout, 'data');
  assert.equal(String(first), 'parent fd undefined\n', 'nothing that the program starts hears of it');
  wrapper.kill('SIGKILL');
  // Ends when nobody holds it any more: neither the wrapper nor its child.
  assert.equal(await text(wrapper.stdout), 'told to end\n');
});

test('a child that has done its work ends by itself', { timeout: 60_000 }, async () => {
  const wrapper = wrap('console.log("done")');
  const [[code], out] = await Promise.all([once(wrapper, 'exit'), text(wrapper.stdout)]);
  assert.deepEqual([code, out], [0, 'done\n']);
});

for (const command of ['test', 'run-script']) {
  test(`what npm has started ends with it, whatever npm tells it: ${command}`, { timeout: 60_000 }, async () => {
    const program = `import { endWithNpm } from ${MODULE}; endWithNpm('test', 'run-script'); ${PROGRAM}`;
    const script = `
      import { spawn } from 'node:child_process';
      spawn(process.execPath, ['--input-type=module', '-e', ${JSON.stringify(program)}], { stdio: 'inherit' });
    `;
    const npm = spawn(process.execPath, ['--input-type=module', '-e', script], {
      ...{ stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, npm_command: command } },
    });
    await once(npm.stdout, 'data');
    npm.kill('SIGKILL');
    assert.equal(await text(npm.stdout), 'told to end\n');
  });
}

test('what such a program starts does not take itself for started by npm', { timeout: 60_000 }, async () => {
  const look = `process.stdout.write(String(process.env.npm_command))`;
  const program = `
    import { spawn } from 'node:child_process';
    import { endWithNpm } from ${MODULE};
    endWithNpm('exec');
    spawn(process.execPath, ['-e', ${JSON.stringify(look)}], { stdio: 'inherit' });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    ...{ stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, npm_command: 'exec' } },
  });
  assert.equal(await text(child.stdout), 'undefined');
});
