/**
 * The source's half of `VM.migrate_send`: API calls to the destination's coordinator, the guest's description, each disk, and
 * the memory with xenopsd's synchronisation points. It connects where the map tells it to, and nowhere else; port 443 of
 * the host part where XAPI does so whatever the URL says.
 *
 * Invariant: the guest stops here before the destination is told to start it.
 */
import { connect as connectPlain } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { expectOk, OK, type Sending, sendChecked } from './checked-stream.ts';
import { Fault } from './fault.ts';
import { type Field, type MemberSpec, removeVm, type XapiRecord } from './model.ts';
import type { XapiPool } from './pool.ts';
import type { Running } from './tasks.ts';
import { parseHead, Wire } from './wire.ts';

export interface SendFaults {
  bytesPerSec: number;
  /** Ends with an error there; after the arrival the guest runs at the destination all the same. */
  failAt?: 'disks' | 'memory' | 'after-arrival' | undefined;
  /** Stands still there until it is taken away. */
  holdAt?: 'disks' | 'memory' | 'arrived' | undefined;
  /** Called when a stage begins. */
  onStage?: ((stage: Stage) => void) | undefined;
}

export type Stage = 'disks' | 'memory' | 'arrived';

interface Move {
  readonly vm: string;
  readonly record: XapiRecord;
  readonly map: Record<string, string>;
  readonly vdiMap: Record<string, string>;
  readonly vifMap: Record<string, string>;
  /** The guest keeps its record, and what is on storage that stays does not move. */
  readonly samePool: boolean;
}

interface Disk {
  readonly ref: string;
  readonly bytes: number;
  readonly sr: string;
  readonly userdevice: string;
}

/** What `VM.assert_can_migrate` looks at, a dry run of the description's import included. */
export async function assertCanSend(pool: XapiPool, params: readonly unknown[]): Promise<void> {
  const move = readMove(pool, params);
  if (move.record.power_state !== 'Running') {
    throw new Fault('VM_BAD_POWER_STATE', move.vm, 'running', String(move.record.power_state).toLowerCase());
  }
  assertIdle(move);
  const route = new Route(pool, move);
  await route.api('host.get_record', [move.map.host ?? '']);
  for (const { sr } of disksOf(pool, move)) await route.api('SR.get_record', [sr]);
  for (const network of Object.values(move.vifMap)) await route.api('network.get_record', [network]);
  if (!move.samePool) await route.importMetadata(description(pool, move), true);
}

export async function send(pool: XapiPool, params: readonly unknown[], task: Running | undefined): Promise<string> {
  if (task === undefined)
    throw new Fault('INTERNAL_ERROR', 'the endpoint of the lab serves migrate_send as a task only');
  const move = readMove(pool, params);
  assertIdle(move);
  pool.database.update('VM', move.vm, { current_operations: { [task.ref]: 'migrate_send' } });
  try {
    await assertReady(pool, params);
    return await sendGuest(pool, move, task);
  } catch (error) {
    if (task.cancel.signal.aborted && task.cancellable) throw new Fault('TASK_CANCELLED', task.ref);
    if (error instanceof Fault) throw error;
    throw new Fault(
      'VM_MIGRATE_FAILED',
      move.vm,
      'source',
      'destination',
      // XAPI quotes what it talked to, and with it the session.
      `${error instanceof Error ? error.message : String(error)} (${move.map.xenops}, ${move.map.session_id})`,
    );
  } finally {
    if (pool.database.get('VM', move.vm) !== undefined) pool.database.update('VM', move.vm, { current_operations: {} });
  }
}

/** The same checks again, now that the operation is ours. */
async function assertReady(pool: XapiPool, params: readonly unknown[]): Promise<void> {
  const { record } = readMove(pool, params);
  if (record.power_state !== 'Running')
    throw new Fault('VM_BAD_POWER_STATE', String(params[0]), 'running', String(record.power_state));
}

async function sendGuest(pool: XapiPool, move: Move, task: Running): Promise<string> {
  const route = new Route(pool, move);
  const disks = disksOf(pool, move).filter(({ ref, sr }) => pool.need('VDI', ref).SR !== sr);
  const memory = Number(move.record.memory_dynamic_max);
  const total = memory + disks.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  const sending = {
    bytesPerSec: pool.faults.bytesPerSec,
    signal: task.cancel.signal,
    onBytes: async (bytes: number) => {
      done += bytes;
      if (pool.database.get('task', task.ref) !== undefined)
        pool.database.update('task', task.ref, { progress: (done / total) * 0.98 });
    },
  };
  await route.api('host.get_record', [move.map.host ?? '']);
  const arrived = move.samePool ? move.vm : await route.importMetadata(description(pool, move), false);
  try {
    await reach(pool, 'disks', task);
    for (const disk of disks) await route.sendDisk(disk, arrived, sending);
    await reach(pool, 'memory', task);
    await route.sendMemory(memory, arrived, sending, () => {
      task.cancellable = false;
      if (pool.database.get('task', task.ref) !== undefined)
        pool.database.update('task', task.ref, { allowed_operations: [] });
      pool.setHalted(move.vm);
    });
  } catch (error) {
    // The destination forgets what it has of a guest that did not arrive.
    if (task.cancellable && !move.samePool) await route.api('VM.destroy', [arrived]).catch(() => undefined);
    throw error;
  }
  await reach(pool, 'arrived', task);
  await route.api('VM.pool_migrate_complete', [arrived, move.map.host ?? '']);
  if (!move.samePool) removeVm(pool.database, move.vm);
  return arrived;
}

async function reach(pool: XapiPool, stage: Stage, task: Running): Promise<void> {
  pool.faults.onStage?.(stage);
  while (pool.faults.holdAt === stage && !(task.cancellable && task.cancel.signal.aborted))
    await pool.database.changed(50);
  const failing = pool.faults.failAt === (stage === 'arrived' ? 'after-arrival' : stage);
  if (failing) {
    pool.faults.failAt = undefined;
    throw new Error(`told to fail at ${stage}`);
  }
  if (task.cancellable) task.cancel.signal.throwIfAborted();
}

function readMove(pool: XapiPool, params: readonly unknown[]): Move {
  const [vm, map, , vdiMap, vifMap] = params as [
    string,
    Record<string, string>,
    boolean,
    Record<string, string>,
    Record<string, string>,
  ];
  const record = pool.need('VM', vm) as XapiRecord;
  for (const key of ['SM', 'xenops', 'host', 'session_id', 'master']) {
    if (map[key] === undefined) throw new Fault('INTERNAL_ERROR', `the destination map lacks ${key}`);
  }
  const samePool = pool.database.get('host', map.host ?? '') !== undefined;
  const move = { vm, record, map, vdiMap, vifMap, samePool };
  if (samePool && Object.keys(vifMap).length > 0)
    throw new Fault('OPERATION_NOT_ALLOWED', 'VIF mapping is not allowed for intra-pool migration');
  if (samePool) return move;
  for (const vif of record.VIFs as string[]) if (vifMap[vif] === undefined) throw new Fault('VIF_NOT_IN_MAP', vif);
  return move;
}

function assertIdle({ vm, record }: Move): void {
  if (Object.keys(record.current_operations as object).length > 0)
    throw new Fault('OTHER_OPERATION_IN_PROGRESS', 'VM', vm);
}

function disksOf(pool: XapiPool, { record, vdiMap }: Move): Disk[] {
  return (record.VBDs as string[]).flatMap((ref) => {
    const vbd = pool.need('VBD', ref);
    if (vbd.type === 'CD') return [];
    const vdi = String(vbd.VDI);
    const sr = vdiMap[vdi];
    if (sr === undefined) throw new Fault('VDI_NOT_IN_MAP', vdi);
    if (pool.need('VDI', vdi).cbt_enabled === true) throw new Fault('VDI_CBT_ENABLED', vdi);
    return [{ ref: vdi, bytes: Number(pool.need('VDI', vdi).virtual_size), sr, userdevice: String(vbd.userdevice) }];
  });
}

/** What XAPI exports of a guest, as far as the lab's destination needs it. */
function description(pool: XapiPool, move: Move): object {
  const { uuid, name_label, memory_static_max, memory_dynamic_min, memory_dynamic_max, VCPUs_max, other_config } =
    move.record;
  return {
    vm: {
      uuid,
      name_label,
      memory_static_max,
      memory_dynamic_min,
      memory_dynamic_max,
      VCPUs_max,
      other_config,
    } as Record<string, Field | undefined>,
    disks: disksOf(pool, move).map(({ bytes, sr, userdevice }) => ({ bytes, sr, userdevice })),
    networks: (move.record.VIFs as string[]).map((vif) => move.vifMap[vif]),
  };
}

/** Every connection that the source opens, to where the map says. */
class Route {
  readonly #move: Move;
  readonly #member: MemberSpec | undefined;
  readonly #httpsOnly: boolean;

  constructor(pool: XapiPool, move: Move) {
    this.#move = move;
    const host = pool.database.need('host', String(move.record.resident_on));
    this.#member = pool.members.find(({ name }) => name === host.name_label);
    this.#httpsOnly = host.https_only === true;
  }

  /** XAPI takes the host of `master` and port 443, whatever else the URL says. */
  async api(method: string, params: readonly unknown[]): Promise<unknown> {
    const wire = await this.#open(hostOf(this.#move.map.master ?? ''), 443, true);
    try {
      const body = JSON.stringify({ jsonrpc: '2.0', method, params: [this.#move.map.session_id, ...params], id: 1 });
      const answer = JSON.parse(await exchange(wire, 'POST', '/jsonrpc', body)) as {
        result?: unknown;
        error?: { message: string; data: string[] };
      };
      if (answer.error) throw new Fault(answer.error.message, ...answer.error.data);
      return answer.result;
    } finally {
      wire.close();
    }
  }

  async importMetadata(what: object, dryRun: boolean): Promise<string> {
    const wire = await this.#open(hostOf(this.#move.map.xenops ?? ''), 443, true);
    try {
      const body = JSON.stringify(what);
      const path = `/import_metadata?session_id=${this.#move.map.session_id}&host=${this.#move.map.host}&dry_run=${dryRun}`;
      await wire.write(`PUT ${path} HTTP/1.0\r\nx-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      const head = (await wire.readHead()) ?? '';
      const length = Number(parseHead(head).headers.get('content-length') ?? 0);
      const text = (await wire.read(length)).toString();
      if (!head.includes(' 200 ')) throw new Fault('IMPORT_ERROR', text);
      return text;
    } finally {
      wire.close();
    }
  }

  async sendDisk({ ref, bytes, sr }: Disk, vm: string, sending: Sending): Promise<void> {
    const url = new URL(this.#move.map.SM ?? '');
    const control = await this.#openUrl(url);
    await exchange(
      control,
      'POST',
      `${url.pathname}${url.search}`,
      `<methodCall><methodName>SR.stat</methodName><params>${sr}</params></methodCall>`,
      'text/xml',
    );
    control.close();
    const wire = await this.#openUrl(url);
    try {
      await wire.write(`PUT ${url.pathname}/nbd/${vm}/${sr}/${ref}/dp${url.search} HTTP/1.0\r\n\r\n`);
      await sendChecked(wire, ref, bytes, sending);
    } finally {
      wire.close();
    }
  }

  /** Points: 1 ready, 1-mem, 2 memory complete, 3 the source gives the guest away, 4 it runs. */
  async sendMemory(bytes: number, vm: string, sending: Sending, giveAway: () => void): Promise<void> {
    const url = new URL(this.#move.map.xenops ?? '');
    const control = await this.#openUrl(url);
    const memory = await this.#openUrl(url);
    try {
      const put = (what: string) =>
        `PUT ${url.pathname}/migrate/${what}/${vm}${url.search} HTTP/1.1\r\ncookie: instance_id=0\r\n\r\n`;
      await control.write(put('vm'));
      await expectOk(control, 'point 1');
      await memory.write(put('mem'));
      await expectOk(memory, 'point 1-mem');
      await sendChecked(memory, vm, bytes, sending);
      await expectOk(control, 'point 2');
      sending.signal.throwIfAborted();
      giveAway();
      await control.write(OK);
      await expectOk(control, 'point 4');
    } finally {
      control.close();
      memory.close();
    }
  }

  #openUrl(url: URL): Promise<Wire> {
    const secure = this.#httpsOnly || url.protocol === 'https:';
    const port = url.port === '' || url.port === '80' ? (secure ? 443 : 80) : Number(url.port);
    return this.#open(url.hostname.replace(/^\[|\]$/g, ''), port, secure);
  }

  /** The member's address in the network that leads there: only what is in the management network is reached from it. */
  #addressTowards(host: string): string {
    if (this.#member === undefined) return '';
    const { management, migration } = this.#member;
    return networkOf(host) === networkOf(management) ? management : migration;
  }

  #open(host: string, port: number, secure: boolean): Promise<Wire> {
    const localAddress = this.#addressTowards(host);
    // Between pools XAPI verifies no certificate: the bytes are for whoever the map names.
    const plain = connectPlain({ host, port, localAddress });
    const socket = secure ? connectTls({ socket: plain, rejectUnauthorized: false }) : plain;
    plain.on('error', (error) => socket.destroy(error));
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        socket.destroy();
        reject(new Fault('CANNOT_CONTACT_HOST', `${host}: ${error.message}`));
      };
      socket.once('error', fail);
      socket.setTimeout(20_000, () => fail(new Error('no answer')));
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        socket.off('error', fail);
        socket.setTimeout(0);
        resolve(new Wire(socket));
      });
    });
  }
}

/** The first 26 bits, as the members' netmask says. */
const networkOf = (address: string): string =>
  address.replace(/\d+$/, (last) => String(Number(last) - (Number(last) % 64)));

const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '');

async function exchange(
  wire: Wire,
  method: string,
  path: string,
  body: string,
  type = 'application/json',
): Promise<string> {
  await wire.write(
    `${method} ${path} HTTP/1.1\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  const head = (await wire.readHead()) ?? '';
  const answer = (await wire.read(Number(parseHead(head).headers.get('content-length') ?? 0))).toString();
  if (!head.includes(' 200 ')) throw new Error(`${path}: ${head.split('\r\n')[0]}`);
  return answer;
}
