/** The shell scripts, run by a shell, on a small archive. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { access, copyFile, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify } from '../redis/processes.ts';
import {
  CLEAN_INTERCEPTIONS,
  LIST_BARRIERS,
  LIST_GATEWAYS,
  NO_RUN,
  REMOVE_BARRIER,
  REMOVE_GATEWAY,
  START_GATEWAY,
  SUPERSEDED_CODE,
  TAKE_GATEWAY,
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
  const left = `{ ${tables}; } | { sed 's/^table /table inet /' ${removed} 2>/dev/null >${removed}.of-all; grep -vxFf ${removed}.of-all; }`;
  const list = tables === null ? 'exit 1' : tables === '' ? 'true' : `${left} || true`;
  await play('nft', `[ "$1" = list ] || { echo "table $4" >>${removed}; exit; }\n${list}`);
  await play(
    'ip',
    `[ "$1 $2 $3" = "-4 rule list" ] && echo '${rules}'\n[ "$3" = del ] && echo "rule $5" >>${removed}\ntrue`,
  );
  const env = { PATH: `${directory}:${process.env.PATH}` };
  return {
    clean: () => spawnSync('sh', ['-c', CLEAN_INTERCEPTIONS], { env }),
    barriers: () => spawnSync('sh', ['-c', LIST_BARRIERS], { env }),
    removeBarrier: (name: string, token = '1') => {
      const args = [join(directory, 'no-run'), join(directory, 'fence'), token, name];
      return spawnSync('sh', ['-c', REMOVE_BARRIER, 'sh', ...args], { env });
    },
    path: directory,
    fence: join(directory, 'fence'),
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
  const fence = join(base, 'fence-m-source');
  const program = async (name: string, body: string): Promise<string> => {
    await writeFile(join(base, name), `#!/bin/sh\n${body}\n`, { mode: 0o700 });
    return join(base, name);
  };
  const listens = `require("net").createServer().listen(process.argv[1])`;
  const run = (
    script: string,
    token: number | typeof NO_RUN,
    args: readonly string[] = [],
    { path = '', begin = '' }: { path?: string; begin?: string } = {},
  ) => {
    const env = { ...process.env, PATH: `${path}:${process.env.PATH}` };
    // As of an account that may leave core dumps.
    const all = [
      '-c',
      `ulimit -S -c "$(ulimit -H -c)"\n${begin}\n${script}`,
      'sh',
      directory,
      fence,
      String(token),
      ...args,
    ];
    const child = spawn('sh', all, { stdio: ['ignore', 'ignore', 'pipe'], env });
    return Promise.all([once(child, 'exit'), text(child.stderr)]).then(([[code], complaint]) => ({ code, complaint }));
  };
  t.after(async () => {
    await run(REMOVE_GATEWAY, NO_RUN);
    await rm(base, { recursive: true, force: true });
  });
  return {
    ...{ base, directory, fence, run, program },
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
  const first = run(START_GATEWAY, 1, [slow, '1000']);
  const firstPid = await pidThere();
  assert.deepEqual(await run(START_GATEWAY, 1, [prompt, '1000']), { code: 0, complaint: '' });
  const after = await first;
  assert.deepEqual([after.code, /came after/.test(after.complaint)], [1, true]);
  const secondPid = await pidThere();
  assert.deepEqual([await isAlive(firstPid), await isAlive(secondPid)], [false, true]);

  const third = run(START_GATEWAY, 1, [slow, '1000']);
  while ((await pidThere()) === secondPid) await sleep(20);
  assert.equal((await run(REMOVE_GATEWAY, 1)).code, 0);
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
  const late = run(START_GATEWAY, 1, [slow, '1000'], { path: join(base, 'bin') });
  const latePid = Number((await readFile(gate, 'utf8')).split('/')[2]);
  assert.equal((await run(START_GATEWAY, 1, [prompt, '1000'])).code, 0);
  const pid = await pidThere();
  assert.equal((await late).code, 1);
  await writeFile(gate, '\n');
  while ((await isAlive(latePid)) && (await pidThere()) === pid) await sleep(20);
  assert.deepEqual([await pidThere(), await isAlive(pid)], [pid, true]);
});

test('whoever comes late with a smaller token changes nothing and is told so; the removal of the largest leaves nothing', async (t) => {
  const { base, fence, run, prompt, pidThere, isAlive } = await stageOfStarts(t);
  assert.equal((await run(START_GATEWAY, 9, [prompt, '1000'])).code, 0);
  assert.equal((await run(TAKE_GATEWAY, 10)).code, 0);
  const pid = await pidThere();
  assert.match(await readFile(`/proc/${pid}/limits`, 'latin1'), /^Max core file size +0 /m);
  for (const [script, args] of [
    [START_GATEWAY, [prompt, '1000']],
    [TAKE_GATEWAY, []],
    [REMOVE_GATEWAY, []],
    [REMOVE_BARRIER, ['x1-m-source']],
  ] as const) {
    const { code, complaint } = await run(script, 9, args);
    assert.deepEqual([code, complaint], [SUPERSEDED_CODE, 'token 9 is smaller than 10\n']);
  }
  assert.equal((await run(TAKE_GATEWAY, NO_RUN)).code, 0);
  assert.deepEqual([await pidThere(), await isAlive(pid), await readFile(fence, 'utf8')], [pid, true, '10\n']);
  assert.equal((await run(REMOVE_GATEWAY, 10)).code, 0);
  assert.deepEqual([await isAlive(pid), await readdir(base)], [false, ['prompt', 'slow']]);
});

test('where a disk has no room for a fence nothing is started, and what is there can still be removed', async (t) => {
  const { base, run, prompt, pidThere, isAlive } = await stageOfStarts(t);
  // A file may have no byte, which its writer is told as of a full disk.
  const full = { begin: "trap '' XFSZ; ulimit -f 0" };
  const { code, complaint } = await run(START_GATEWAY, 1, [prompt, '1000'], full);
  assert.deepEqual([code, /is the disk full\?/.test(complaint)], [1, true]);
  assert.deepEqual(await readdir(base), ['prompt', 'slow']);
  assert.equal((await run(START_GATEWAY, 1, [prompt, '1000'])).code, 0);
  const pid = await pidThere();
  await rm(join(base, 'fence-m-source')); // as an earlier version starts one
  assert.equal((await run(TAKE_GATEWAY, 2, [], full)).code, 0);
  assert.equal((await run(REMOVE_GATEWAY, 2, [], full)).code, 0);
  assert.deepEqual([await isAlive(pid), await readdir(base)], [false, ['prompt', 'slow']]);
});

test('a fence stays for as long as a barrier of its name does', async (t) => {
  const { directory, fence, run } = await stageOfStarts(t);
  const machine = await setMachine(t, { tables: "echo 'table inet lmas_barrier_fence-m-source.vmotion'", marks: [] });
  const played = { path: machine.path };
  assert.equal((await run(REMOVE_GATEWAY, 2, [], played)).code, 0);
  assert.equal(await readFile(fence, 'utf8'), '2\n');
  assert.equal((await run(REMOVE_BARRIER, 1, ['fence-m-source'], played)).code, SUPERSEDED_CODE);
  assert.equal((await run(REMOVE_BARRIER, 2, ['fence-m-source'], played)).code, 0);
  await assert.rejects(access(fence), { code: 'ENOENT' });
  await assert.rejects(access(directory), { code: 'ENOENT' });
});

test('a start whose gateway does not come up leaves it to the later run that has taken it, and else leaves nothing', async (t) => {
  const { base, directory, run, program, pidThere } = await stageOfStarts(t);
  const gate = join(base, 'gate');
  execFileSync('mkfifo', [gate]);
  const failing = await program('failing', `read -r _ < '${gate}'; echo 'no luck' >&2; exit 1`);
  const earlier = run(START_GATEWAY, 1, [failing, '1000']);
  await pidThere();
  assert.equal((await run(TAKE_GATEWAY, 2)).code, 0);
  await writeFile(gate, '\n');
  assert.equal((await earlier).code, SUPERSEDED_CODE);
  assert.match(await readFile(join(directory, 'output'), 'utf8'), /no luck/);

  const later = run(START_GATEWAY, 2, [failing, '1000']);
  await writeFile(gate, '\n');
  const { code, complaint } = await later;
  assert.deepEqual([code, /no luck/.test(complaint)], [1, true]);
  const left = ['failing', 'gate', 'installation', 'prompt', 'slow'];
  assert.deepEqual([await readdir(base), await readdir(join(base, 'installation'))], [left, []]);
  assert.equal((await run(TAKE_GATEWAY, 2)).code, 1, 'nobody is there');
  assert.deepEqual(await readdir(base), left);
});

test('who waited for a fence that was taken away meanwhile waits for the one that stands there now, and heeds it', async (t) => {
  const { fence, run } = await stageOfStarts(t);
  const both = 'exec 9<>"$1"; flock 9; echo; read -r _; rm -- "$1"; exec 8<>"$1"; flock 8; exec 9>&-; echo; read -r _';
  const holder = spawn('sh', ['-c', `${both}; echo 7 >"$1"`, 'sh', fence], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => holder.kill());
  await once(holder.stdout, 'data');
  const late = run(REMOVE_GATEWAY, 6);
  const waits = async (): Promise<void> => {
    const { ino } = await stat(fence);
    // proc(5), /proc/locks: an arrow stands before who waits, the inode after the device.
    while (!new RegExp(`-> FLOCK .*:${ino} `).test(await readFile('/proc/locks', 'latin1'))) {
      assert.equal(await Promise.race([late, sleep(20)]), undefined, 'it ended');
    }
  };
  await waits();
  holder.stdin.write('\n');
  await once(holder.stdout, 'data');
  await waits();
  holder.stdin.end('\n');
  assert.equal((await late).code, SUPERSEDED_CODE);
  assert.equal(await readFile(fence, 'utf8'), '7\n');
});

test('whose gateways there are is told by directories and fences alike, and of this installation only', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'lmas-list-'));
  t.after(() => rm(base, { recursive: true, force: true }));
  const list = () =>
    spawnSync('sh', ['-c', LIST_GATEWAYS, 'sh', join(base, 'gateways'), join(base, 'fences/x1-')]).stdout.toString();
  assert.equal(list(), '');
  await mkdir(join(base, 'gateways/m_1-source'), { recursive: true });
  await mkdir(join(base, 'gateways/m_2-source'));
  await mkdir(join(base, 'fences'));
  for (const name of ['x1-m_2-source', 'x1-m_3-source', 'x2-m_4-source'])
    await writeFile(join(base, 'fences', name), '');
  assert.equal(list(), 'm_1-source\nm_2-source\nm_3-source\n');
});

test('barriers are found by name, one is taken away with all of its routes, and no other, nor for an earlier run', async (t) => {
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
  await writeFile(machine.fence, '3\n');
  assert.equal(machine.removeBarrier('x1-m_7-source', '2').status, SUPERSEDED_CODE);
  assert.equal(await machine.removed(), '');
  assert.equal(machine.removeBarrier('x1-m_7-source', '3').status, 0);
  await assert.rejects(access(machine.fence), { code: 'ENOENT' });
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
