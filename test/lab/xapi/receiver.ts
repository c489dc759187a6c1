/**
 * The destination's half: what arrives at a member's /import_metadata, /services/SM and /services/xenops. A guest is a record
 * without a host until xenopsd's point 3; when the source hangs up before, the record stays until somebody destroys it.
 */
import { expectOk, OK, receiveChecked } from './checked-stream.ts';
import { NULL_REF } from './database.ts';
import { addVbd, addVdi, addVgpu, addVif, emptyVm, uuidOf } from './model.ts';
import type { XapiPool } from './pool.ts';
import type { Request } from './wire.ts';

interface Described {
  readonly vm: Record<string, string | number>;
  readonly disks: readonly {
    readonly bytes: number;
    readonly sr: string;
    readonly userdevice: string;
    /** Empty: as the storage does. */
    readonly format: string;
  }[];
  readonly networks: readonly string[];
  /** Where nobody named one, the first that there is. */
  readonly gpuGroups: readonly (string | undefined)[];
}

/** Bytes that came in, by what they were: for tests that prove which way they took. */
export const received = { disks: 0, memory: 0 };

export async function receive(pool: XapiPool, request: Request, member: number) {
  const { url, method } = request;
  if (!pool.sessions.has(url.searchParams.get('session_id') ?? '')) return page(401, 'SESSION_INVALID');
  if (url.pathname === '/import_metadata') return importMetadata(pool, request);
  if (method === 'POST') return storageCall(pool, request, member);
  const [, , service, ...rest] = url.pathname.split('/');
  if (service === 'SM' && rest[0] === 'nbd') return take(request, () => receiveDisk(request));
  if (service === 'xenops' && rest[0] === 'migrate') {
    const [, what = '', vm = ''] = rest;
    const { remoteAddress: source = '', localAddress: destination = '', localPort: port = 0 } = request.wire.socket;
    pool.streams.push({ source, destination, port });
    return take(request, () =>
      what === 'mem' ? receiveMemory(pool, request, vm) : receiveControl(pool, request, vm, member),
    );
  }
  return page(404, 'no such service');
}

/** What changes shared storage the coordinator alone serves; another member names its address. */
function storageCall(pool: XapiPool, { body, wire }: Request, member: number) {
  pool.callers.add(wire.socket.remoteAddress ?? '');
  const sr = pool.database.get('SR', /<params>([^<]*)<\/params>/.exec(body)?.[1] ?? '');
  const { coordinator } = pool;
  if (sr?.shared !== true || pool.members[member] === coordinator) return page(200, '<methodResponse/>', 'text/xml');
  pool.storageRedirects += 1;
  const fault = `<methodResponse><redirect>${coordinator.management}</redirect></methodResponse>`;
  return page(200, fault, 'text/xml');
}

const page = (status: number, body: string, type = 'text/plain') => ({ status, type, body });

/** The connection is a stream from here on, and this request its last. */
async function take(request: Request, work: () => Promise<void>) {
  await work().catch(() => request.wire.socket.destroy());
  return 'taken' as const;
}

async function importMetadata(pool: XapiPool, { wire, headers, url }: Request) {
  const text = (await wire.read(Number(headers.get('x-length') ?? 0))).toString();
  const { vm, disks, networks, gpuGroups } = JSON.parse(text) as Described;
  const { database } = pool;
  const host = url.searchParams.get('host') ?? '';
  const missing = [
    ...disks.filter(({ sr }) => database.get('SR', sr) === undefined).map(({ sr }) => `SR ${sr}`),
    ...networks
      .filter((network) => database.get('network', network) === undefined)
      .map((network) => `network ${network}`),
    ...gpuGroups
      .filter((group) => group && database.get('GPU_group', group) === undefined)
      .map((group) => `GPU group ${group}`),
    ...(database.get('host', host) === undefined ? [`host ${host}`] : []),
  ];
  if (missing.length > 0) return page(400, `HANDLE_INVALID ${missing.join(', ')}`);
  if (database.byUuid('VM', String(vm.uuid)) !== undefined) return page(400, `DUPLICATE_VM ${vm.uuid}`);
  if (url.searchParams.get('dry_run') === 'true') return page(200, '');
  const ref = database.add('VM', emptyVm(vm as never));
  for (const { bytes, sr, userdevice, format } of disks) {
    const vdi = addVdi(database, sr, {
      uuid: uuidOf('arrived', ref, userdevice),
      name_label: `${vm.name_label} ${userdevice}`,
      virtual_size: bytes,
      sm_config: format === '' ? {} : { 'image-format': format },
    });
    addVbd(database, ref, vdi, userdevice);
  }
  for (const [i, network] of networks.entries()) addVif(database, ref, network, String(i));
  const [anyGroup = NULL_REF] = database.table('GPU_group').keys();
  for (const group of gpuGroups) addVgpu(database, ref, group ?? anyGroup);
  return page(200, ref);
}

async function receiveDisk({ wire }: Request): Promise<void> {
  received.disks += await receiveChecked(wire);
  wire.close();
}

const memoryArrived = new Map<string, () => void>();

async function receiveMemory(_pool: XapiPool, { wire }: Request, vm: string): Promise<void> {
  await wire.write(OK);
  received.memory += await receiveChecked(wire);
  memoryArrived.get(vm)?.();
}

async function receiveControl(pool: XapiPool, { wire }: Request, vm: string, member: number): Promise<void> {
  const arrived = new Promise<boolean>((resolve) => {
    memoryArrived.set(vm, () => resolve(true));
    wire.socket.once('close', () => resolve(false));
  });
  try {
    await wire.write(OK);
    if (!(await arrived)) throw new Error('the source hung up');
    await wire.write(OK);
    await expectOk(wire, 'point 3');
    const name = pool.members[member]?.name ?? '';
    pool.startDomain(vm, pool.database.byName('host', name));
    await wire.write(OK);
  } finally {
    memoryArrived.delete(vm);
  }
}
