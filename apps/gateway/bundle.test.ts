/** The bundle on a machine that has a C library, a shell and sed, and nothing of GCC: a directory that is made so and entered. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { buildGatewayBundle, bundleRoot } from './bundle.ts';
import { RUNTIME_NOTICE } from './runtime-libraries.ts';

const skip = process.getuid?.() === 0 ? false : 'Entering another root needs root.';
const PROGRAMS = ['sh', 'sed', 'dirname', 'readlink'];
/** Of the C library: Node links them, none of those programs does. */
const OF_THE_C_LIBRARY = ['libdl.so.2', 'libm.so.6', 'libpthread.so.0'];

/** What a program links, by the file that the dynamic linker finds here. */
function linked(file: string): string[] {
  const output = execFileSync(file, { env: { LD_TRACE_LOADED_OBJECTS: '1' }, encoding: 'utf8' });
  return [...output.matchAll(/(\/\S+) \(0x/g)].map(([, found = '']) => found);
}

describe('the bundle on a machine without the libraries of GCC', { skip }, () => {
  const root = mkdtempSync(path.join(tmpdir(), 'lmas-bare-'));
  const copy = (file: string, at = file): void => {
    mkdirSync(path.dirname(path.join(root, at)), { recursive: true });
    copyFileSync(realpathSync(file), path.join(root, at));
  };
  const enter = (...command: string[]) =>
    spawnSync('chroot', [root, ...command], { encoding: 'utf8', env: { PATH: '/usr/sbin:/usr/bin:/bin' } });
  const unpacked = path.join(root, bundleRoot);

  before(async () => {
    const programs = PROGRAMS.map((name) =>
      execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim(),
    );
    for (const program of programs) copy(program, `/bin/${path.basename(program)}`);
    for (const library of new Set(programs.flatMap((program) => linked(program)))) copy(library);
    const ofNode = linked(process.execPath).filter((file) => OF_THE_C_LIBRARY.includes(path.basename(file)));
    for (const library of ofNode) copy(library);
    mkdirSync(path.join(root, 'dev'));
    writeFileSync(path.join(root, 'dev/null'), '');
    const { path: archive } = await buildGatewayBundle();
    execFileSync('tar', ['-xzf', archive, '-C', root]);
  });
  after(() => rmSync(root, { recursive: true }));

  test('Node alone does not start there', () => {
    const { status, stderr } = enter(`/${bundleRoot}/lib/node`, '--version');
    assert.equal(status, 127);
    assert.match(stderr, /error while loading shared libraries: lib(atomic|stdc\+\+|gcc_s)/);
  });

  test('the gateway does, with those that came with it', () => {
    const { status, stdout, stderr } = enter(`/${bundleRoot}/bin/lmas-gateway`, '--version');
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /^\d+\.\d+\.\d+/);
  });

  test('what the machine has of its own is not replaced', () => {
    const own = linked(process.execPath).find((file) => path.basename(file) === 'libatomic.so.1');
    assert.ok(own !== undefined);
    copy(own);
    rmSync(path.join(unpacked, 'lib/runtime/libatomic.so.1/libatomic.so.1'));
    assert.equal(enter(`/${bundleRoot}/bin/lmas-gateway`, '--version').status, 0);
  });

  test('their licence goes with them', () => {
    assert.deepEqual(readdirSync(path.join(unpacked, 'lib/runtime')).sort(), [
      ...['LICENCE', 'libatomic.so.1', 'libgcc_s.so.1', 'libstdc++.so.6'],
    ]);
    assert.match(RUNTIME_NOTICE, /Runtime Library Exception/);
  });
});
