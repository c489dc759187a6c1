/** The shell scripts, run by a shell, on a small archive. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify } from '../redis/processes.ts';
import {
  CLEAN_INTERCEPTIONS,
  LIST_BARRIERS,
  REMOVE_BARRIER,
  REMOVE_GATEWAY,
  START_GATEWAY,
  UNPACK_BUNDLE,
} from './remote-scripts.ts';

const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');

test('a bundle that somebody else has just unpacked is left where it is; one that was changed is replaced', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'lmas-bundle-'));
  t.after(() => rm(base, { recursive: true, force: true }));
  await mkdir(join(base, 'made/root'), { recursive: true });
  await writeFile(join(base, 'made/root/program'), 'a program');
  const archive = join(base, 'bundle.tar.gz');
  execFileSync('tar', ['-czf', archive, '-C', join(base, 'made'), 'root']);
  const manifest = `${sha256('a program')}  root/program\n`;
  const directory = join(base, 'bundle');
  let uploads = 0;
  const unpack = async (): Promise<void> => {
    uploads += 1;
    const upload = join(base, `upload-${uploads}`);
    await copyFile(archive, upload);
    const args = ['-c', UNPACK_BUNDLE, 'sh', upload, sha256(await readFile(archive)), directory];
    const shell = spawn('sh', args, { stdio: ['pipe', 'inherit', 'inherit'] });
    shell.stdin.end(manifest);
    const [code] = await once(shell, 'exit');
    assert.equal(code, 0);
  };
  const inode = async (): Promise<number> => (await stat(directory)).ino;

  await Promise.all([unpack(), unpack(), unpack()]);
  const first = await inode();
  await unpack();
  assert.equal(await inode(), first, 'a gateway may run from it');
  await writeFile(join(directory, 'root/program'), 'another program');
  await unpack();
  assert.notEqual(await inode(), first);
  assert.equal(await readFile(join(directory, 'root/program'), 'utf8'), 'a program');
  assert.deepEqual((await readdir(base)).sort(), ['bundle', 'bundle.lock', 'bundle.tar.gz', 'made'].sort());
});

test('an unpack that fails leaves neither archive nor half a bundle', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'lmas-bundle-'));
  t.after(() => rm(base, { recursive: true, force: true }));
  const upload = join(base, 'upload');
  for (const [archive, digest] of [
    ['not an archive', sha256('not an archive')],
    ['damaged', sha256('whole')],
  ] as const) {
    await writeFile(upload, archive);
    const args = ['-c', UNPACK_BUNDLE, 'sh', upload, digest, join(base, 'bundle')];
    assert.notEqual(spawnSync('sh', args, { input: '' }).status, 0);
    assert.deepEqual(await readdir(base), []);
  }
});

/** A machine whose nft and ip are played: `tables` and `rules` are what there is, and what is removed is noted. */
async function setMachine(t: TestContext, { tables, marks }: { tables: string | null; marks: readonly number[] }) {
  const directory = await mkdtemp(join(tmpdir(), 'lmas-tools-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const removed = join(directory, 'removed');
  const rules = marks.map((mark) => `100:\tfrom all fwmark 0x${mark.toString(16)} lookup ${mark}`).join('\n');
  const play = (tool: string, body: string) =>
    writeFile(join(directory, tool), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  await play('nft', `[ "$1" = list ] || { echo "table $4" >>${removed}; exit; }\n${tables ?? 'exit 1'}`);
  await play(
    'ip',
    `[ "$1 $2 $3" = "-4 rule list" ] && echo '${rules}'\n[ "$3" = del ] && echo "rule $5" >>${removed}\ntrue`,
  );
  const env = { PATH: `${directory}:${process.env.PATH}` };
  return {
    clean: () => spawnSync('sh', ['-c', CLEAN_INTERCEPTIONS], { env }),
    barriers: () => spawnSync('sh', ['-c', LIST_BARRIERS], { env }),
    removeBarrier: (name: string) => spawnSync('sh', ['-c', REMOVE_BARRIER, 'sh', name], { env }),
    removed: () => readFile(removed, 'utf8').catch(() => ''),
  };
}

test('what killed gateways left is taken away, and never what a living one has', async (t) => {
  const space = (await readlink('/proc/self/ns/pid')).replaceAll(/\D/g, '');
  const stat = await readFile('/proc/self/stat', 'latin1');
  const since = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  const tables = [`lmas_${space}_${process.pid}_${since}`, `lmas_${space}_7_1`, 'lmas_1_8_1', 'theirs'];
  const marks = [process.pid, 7, 8, 9].map((pid) => 0x4c000000 + pid);
  const machine = await setMachine(t, {
    tables: tables.map((table) => `echo 'table inet ${table}'`).join('\n'),
    marks,
  });
  const { stdout } = machine.clean();
  assert.equal(stdout.toString(), `lmas_${space}_7_1\n`);
  assert.equal(await machine.removed(), `table lmas_${space}_7_1\nrule 0x4c000007\nrule 0x4c000009\n`);
});

test('nothing is taken away while the tables cannot be listed', async (t) => {
  const machine = await setMachine(t, { tables: null, marks: [0x4c000000 + process.pid] });
  machine.clean();
  assert.equal(await machine.removed(), '');
});

/** A run directory that does not exist yet, and programs that stand for the gateway. */
async function stageOfStarts(t: TestContext) {
  const base = await mkdtemp(join(tmpdir(), 'lmas-starts-'));
  const directory = join(base, 'installation/m-source');
  const program = async (name: string, body: string): Promise<string> => {
    await writeFile(join(base, name), `#!/bin/sh\n${body}\n`, { mode: 0o700 });
    return join(base, name);
  };
  const listens = `require("net").createServer().listen(process.argv[1])`;
  const run = (script: string, args: readonly string[] = [], path = '') => {
    const env = { ...process.env, PATH: `${path}:${process.env.PATH}` };
    const child = spawn('sh', ['-c', script, 'sh', directory, ...args], { stdio: ['ignore', 'ignore', 'pipe'], env });
    return Promise.all([once(child, 'exit'), text(child.stderr)]).then(([[code], complaint]) => ({ code, complaint }));
  };
  t.after(async () => {
    await run(REMOVE_GATEWAY);
    await rm(base, { recursive: true, force: true });
  });
  return {
    ...{ base, directory, run, program },
    /** Never ready. */
    slow: await program('slow', 'exec sleep 300'),
    prompt: await program('prompt', `exec ${process.execPath} -e '${listens}' "$3"`),
    async pidThere(): Promise<number> {
      for (;;) {
        const [pid] = (await readFile(join(directory, 'pid'), 'utf8').catch(() => '')).split(' ');
        if (pid !== undefined && pid !== '') return Number(pid);
        await sleep(20);
      }
    },
    isAlive: async (pid: number): Promise<boolean> => (await identify(pid)) !== undefined,
  };
}

test('a start that another one, or a removal, came after ends at once and leaves everything to it', async (t) => {
  const { base, run, slow, prompt, pidThere, isAlive } = await stageOfStarts(t);
  const first = run(START_GATEWAY, [slow, '1000']);
  const firstPid = await pidThere();
  assert.deepEqual(await run(START_GATEWAY, [prompt, '1000']), { code: 0, complaint: '' });
  const after = await first;
  assert.deepEqual([after.code, /came after/.test(after.complaint)], [1, true]);
  const secondPid = await pidThere();
  assert.deepEqual([await isAlive(firstPid), await isAlive(secondPid)], [false, true]);

  const third = run(START_GATEWAY, [slow, '1000']);
  while ((await pidThere()) === secondPid) await sleep(20);
  assert.equal((await run(REMOVE_GATEWAY)).code, 0);
  assert.equal((await third).code, 1);
  assert.deepEqual(await readdir(base), ['prompt', 'slow']);
});

test('one that stood still just before it said who it is does not pass for the gateway that came after it', async (t) => {
  const { base, run, program, slow, prompt, pidThere, isAlive } = await stageOfStarts(t);
  await mkdir(join(base, 'bin'));
  // The second one asks for the start time of the process that becomes the gateway.
  const stands = `[ "$(wc -l < "$0.calls")" -ne 2 ] || { echo "$2" > "$0.gate"; read -r _ < "$0.gate"; }`;
  await program('bin/sed', `echo >> "$0.calls"\n${stands}\nPATH=\${PATH#*:} exec sed "$@"`);
  const gate = join(base, 'bin/sed.gate');
  execFileSync('mkfifo', [gate]);
  const late = run(START_GATEWAY, [slow, '1000'], join(base, 'bin'));
  const latePid = Number((await readFile(gate, 'utf8')).split('/')[2]);
  assert.equal((await run(START_GATEWAY, [prompt, '1000'])).code, 0);
  const pid = await pidThere();
  assert.equal((await late).code, 1);
  await writeFile(gate, '\n');
  while ((await isAlive(latePid)) && (await pidThere()) === pid) await sleep(20);
  assert.deepEqual([await pidThere(), await isAlive(pid)], [pid, true]);
});

test('barriers are found by name, one is taken away with all of its routes, and no other', async (t) => {
  const mine = ['lmas_barrier_x1-m_7-source.vmotion', 'lmas_barrier_x1-m_7-source.provisioning'];
  const others = [
    'lmas_barrier_x1-m_77-source.vmotion',
    'lmas_barrier_x1-m_7-destination.vmotion',
    'lmas_1_2_3',
    'theirs',
  ];
  const tables = [...mine, ...others].map((table) => `echo 'table inet ${table}'`).join('\n');
  const machine = await setMachine(t, { tables, marks: [] });
  assert.equal(machine.barriers().stdout.toString(), 'x1-m_7-destination\nx1-m_7-source\nx1-m_77-source\n');
  assert.equal(machine.removeBarrier('x1-m_7-source').status, 0);
  assert.equal(await machine.removed(), mine.map((table) => `table ${table}\n`).join(''));
  assert.equal(machine.removeBarrier('x1-m_8-source').status, 0, 'not there is done');
});

test('not to be able to look for a barrier is not to have none', async (t) => {
  const machine = await setMachine(t, { tables: null, marks: [] });
  assert.notEqual(machine.removeBarrier('x1-m_7-source').status, 0);
  assert.notEqual(machine.barriers().status, 0);
});

test('what killed gateways left is told from barriers, which nobody but their owner takes away', async (t) => {
  const machine = await setMachine(t, { tables: `echo 'table inet lmas_barrier_x1-m_7-source.vmotion'`, marks: [] });
  assert.equal(machine.clean().stdout.toString(), '');
  assert.equal(await machine.removed(), '');
});
