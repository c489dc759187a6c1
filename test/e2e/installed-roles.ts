/**
 * An installed package taken apart into its roles: what the pages have people type, and what its units answer. The Redis that they
 * share is Debian's own.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { codeBlocksOf } from '../docs/markdown.ts';
import type { DebianMachine } from './debian-machine.ts';

/** Role → where it answers, as the page says. */
const PORTS = { api: 7070, worker: 7071, scheduler: 7072 } as const;
export const ROLE_UNITS: readonly string[] = Object.keys(PORTS).map((role) => `lmas-orchestrator@${role}`);

type Until = (what: string, isSo: () => Promise<boolean>) => Promise<void>;

/** Types the one block of a page that goes by this name, as root; what it printed. */
export async function typeBlock(machine: DebianMachine, page: string, name: string): Promise<string> {
  const [block, ...more] = codeBlocksOf(page).filter(({ language, info }) => language === 'sh' && info === name);
  assert.ok(block !== undefined && more.length === 0, `${page} has one block "${name}"`);
  return await machine.must(['/bin/bash', '--norc', '-euc', `cd /root\n${block.code}`]);
}

/** What Debian's Redis has kept, and what it was told to keep; it has been stopped. */
export async function dropRedis(machine: DebianMachine): Promise<void> {
  for (const file of ['appendonlydir', 'dump.rdb']) {
    rmSync(machine.path(`/var/lib/redis/${file}`), { recursive: true, force: true });
  }
  const undone = 's/^appendonly .*/appendonly no/;/^requirepass /d;/^user default /d';
  await machine.must(['sed', '-i', undone, '/etc/redis/redis.conf']);
}

export class InstalledRoles {
  readonly #machine: DebianMachine;
  readonly #until: Until;

  constructor(machine: DebianMachine, until: Until) {
    this.#machine = machine;
    this.#until = until;
  }

  /** The command line with the key in this file. */
  async lmas(keyFile: string, ...args: string[]): Promise<string> {
    return await this.#machine.must(['env', `LMAS_API_KEY_FILE=${keyFile}`, 'lmas', ...args]);
  }

  /** All three, each at its own port. */
  async ready(): Promise<void> {
    for (const [role, port] of Object.entries(PORTS)) {
      await this.#until(`the ${role} is ready`, async () => (await this.#ask(port, 'readyz')).startsWith('200'));
    }
  }

  /** What each of them says that it is; `undefined` while one is not there. */
  async versions(keyFile: string): Promise<(string | undefined)[]> {
    return await Promise.all(
      Object.entries(PORTS).map(async ([role, port]) => {
        const metrics = await this.#ask(port, 'metrics', keyFile);
        return new RegExp(`^lmas_build_info\\{version="([^"]+)",role="${role}"`, 'm').exec(metrics)?.[1];
      }),
    );
  }

  /** An account of the machine that was told nothing gets nothing out of their Redis, and its password stands in no file that it can read. */
  async redisIsShut(): Promise<void> {
    const anybody = ['runuser', '-u', 'nobody', '--'];
    const { stdout } = await this.#machine.exec([...anybody, 'redis-cli', 'keys', '*']);
    assert.match(stdout, /NOAUTH/);
    for (const file of ['/etc/lmas/redis-password', '/etc/lmas/orchestrator.env', '/etc/redis/redis.conf']) {
      assert.notEqual((await this.#machine.exec([...anybody, 'cat', file])).code, 0, file);
    }
  }

  /** Back to where one process can be the whole: settings, key and Redis of the roles are gone. */
  async remove(): Promise<void> {
    await this.#machine.must(['systemctl', 'disable', '--now', ...ROLE_UNITS]);
    await this.#machine.must(['systemctl', 'stop', 'redis-server']);
    await dropRedis(this.#machine);
    await this.#machine.must(['systemctl', 'start', 'redis-server']);
    const made = '/etc/lmas/master-key /etc/lmas/redis-password /etc/lmas/orchestrator-*.env /var/lib/lmas/role-*';
    await this.#machine.must(['/bin/sh', '-ec', `rm -r ${made}`]);
    await this.#machine.must(['sed', '-i', '/^REDIS_URL=/d;/^LMAS_MASTER_KEY_FILE=/d', '/etc/lmas/orchestrator.env']);
  }

  async #ask(port: number, path: string, keyFile = ''): Promise<string> {
    const script = `
      const key = '${keyFile}' && require('node:fs').readFileSync('${keyFile}', 'utf8').trim();
      fetch('http://127.0.0.1:${port}/${path}', { headers: key ? { authorization: 'Bearer ' + key } : {} })
        .then(async (answer) => console.log(answer.status + '\\n' + (await answer.text())), () => undefined);
    `;
    return (await this.#machine.exec(['/usr/lib/lmas/node', '-e', script])).stdout;
  }
}
