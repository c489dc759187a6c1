/**
 * The calls of the API that are served, beside those that every class has. What XAPI refuses is refused with XAPI's codes.
 */
import { CLASS_NAMES } from './database.ts';
import { eventFrom } from './events.ts';
import { Fault } from './fault.ts';
import { removeVm } from './model.ts';
import type { XapiPool } from './pool.ts';
import { assertCanSend, poolMigrate, send } from './sender.ts';
import type { Running } from './tasks.ts';

export interface CallContext {
  readonly session: string;
  /** Of an asynchronous call. */
  readonly task?: Running;
}

type Served = (pool: XapiPool, params: readonly unknown[], context: CallContext) => unknown;

export const SERVED: Readonly<Record<string, Served>> = {
  'VM.get_by_uuid': ({ database }, [uuid]) => {
    const ref = database.byUuid('VM', String(uuid));
    if (ref === undefined) throw new Fault('UUID_INVALID', 'VM', String(uuid));
    return ref;
  },
  'VM.get_by_name_label': ({ database }, [name]) =>
    [...database.table('VM')].filter(([, vm]) => vm.name_label === name).map(([ref]) => ref),
  'VM.set_name_label': (pool, [vm, name]) => {
    pool.need('VM', vm);
    pool.database.update('VM', String(vm), { name_label: String(name) });
    return '';
  },
  'VM.add_to_other_config': (pool, [vm, key, value]) => addToOtherConfig(pool, 'VM', vm, key, value),
  'VM.remove_from_other_config': (pool, [vm, key]) => {
    const { [String(key)]: _, ...rest } = pool.need('VM', vm).other_config as Record<string, string>;
    pool.database.update('VM', String(vm), { other_config: rest });
    return '';
  },
  'VM.assert_can_migrate': async (pool, params) => {
    await assertCanSend(pool, params);
    return '';
  },
  'VM.assert_can_boot_here': (pool, [vm, host]) => assertCanBootHere(pool, String(vm), String(host)),
  'VM.migrate_send': (pool, params, { task }) => send(pool, params, task),
  'VM.destroy': (pool, [vm]) => {
    const { power_state: state } = pool.need('VM', vm);
    if (state !== 'Halted') throw new Fault('VM_BAD_POWER_STATE', String(vm), 'halted', String(state).toLowerCase());
    removeVm(pool.database, String(vm));
    return '';
  },
  'VM.set_ha_always_run': (pool, [vm, value]) => {
    pool.need('VM', vm);
    pool.database.update('VM', String(vm), { ha_always_run: value === true });
    return '';
  },
  'VM.pool_migrate_complete': (pool, [vm, host]) => {
    pool.need('VM', vm);
    pool.need('host', host);
    pool.settle(String(vm));
    return '';
  },
  'VM.pool_migrate': poolMigrate,
  'host.migrate_receive': (pool, [host, network]) => migrateReceive(pool, String(host), String(network)),
  'host.get_servertime': (pool, [host]) => {
    pool.need('host', host);
    return new Date().toISOString();
  },
  'host.get_data_sources': (pool, [host]) => dataSources(hostValues(pool, host)),
  'host.query_data_source': (pool, [host, name]) => dataSource(hostValues(pool, host), name),
  'VM.get_data_sources': (pool, [vm]) => dataSources(guestValues(pool, vm)),
  'VM.query_data_source': (pool, [vm, name]) => dataSource(guestValues(pool, vm), name),
  'host.compute_free_memory': (pool, [host]) => freeMemory(pool, String(host)),
  'task.cancel': (pool, [ref]) => {
    const running = pool.tasks.get(String(ref));
    pool.need('task', ref);
    if (running === undefined || !running.cancellable)
      throw new Fault('OPERATION_NOT_ALLOWED', 'the task cannot be cancelled any more');
    pool.database.update('task', String(ref), { status: 'cancelling' });
    running.cancel.abort();
    return '';
  },
  'task.add_to_other_config': (pool, [task, key, value]) => addToOtherConfig(pool, 'task', task, key, value),
  'task.destroy': ({ database }, [ref]) => {
    database.remove('task', String(ref));
    return '';
  },
  'event.from': (pool, [classes, token, timeout]) =>
    eventFrom(pool, classes as string[], String(token), Number(timeout)),
  'event.inject': ({ database }) => String(database.generation),
  'session.get_this_host': ({ database }) => [...database.table('pool').values()][0]?.master,
  'session.get_uuid': (pool, [session]) => pool.sessions.uuidOf(String(session)),
  'session.get_by_uuid': (pool, [uuid]) => pool.sessions.byUuid(String(uuid)),
  'session.logout': (pool, _, { session }) => {
    pool.sessions.end(session);
    return '';
  },
};

/** What clients learn the classes from. */
export const METHODS: readonly string[] = [
  ...CLASS_NAMES.flatMap((kind) => ['get_all', 'get_all_records', 'get_record'].map((name) => `${kind}.${name}`)),
  ...Object.keys(SERVED),
];

function addToOtherConfig(pool: XapiPool, kind: 'VM' | 'task', ref: unknown, key: unknown, value: unknown): string {
  const config = pool.need(kind, ref).other_config as Record<string, string>;
  if (String(key) in config) throw new Fault('MAP_DUPLICATE_KEY', kind, 'other_config', String(ref), String(key));
  pool.database.update(kind, String(ref), { other_config: { ...config, [String(key)]: String(value) } });
  return '';
}

/** With every guest there squeezed to its least. */
function freeMemory(pool: XapiPool, host: string): number {
  const { memory_free: free } = pool.need('host_metrics', pool.need('host', host).metrics);
  const guests = [...pool.database.table('VM').values()].filter(({ resident_on: at }) => at === host);
  return guests.reduce(
    (sum, { memory_dynamic_max: most, memory_dynamic_min: least }) => sum + Number(most) - Number(least),
    Number(free),
  );
}

/** What is to be had at that host for this VM, and what not, in the order in which XAPI looks. */
function assertCanBootHere(pool: XapiPool, vm: string, host: string): string {
  const { VBDs, memory_dynamic_min: memory } = pool.need('VM', vm);
  const { enabled } = pool.need('host', host);
  if (enabled !== true) throw new Fault('HOST_DISABLED', host);
  for (const vbd of VBDs as string[]) {
    const { VDI: vdi, empty } = pool.need('VBD', vbd);
    if (empty === true) continue;
    const { SR: sr } = pool.need('VDI', vdi);
    const pbds = (pool.need('SR', sr).PBDs as string[]).map((ref) => pool.need('PBD', ref));
    const sees = pbds.some((pbd) => pbd.host === host && pbd.currently_attached === true);
    if (!sees) throw new Fault('VM_REQUIRES_SR', vm, String(sr));
  }
  const free = freeMemory(pool, host);
  if (free < Number(memory)) throw new Fault('HOST_NOT_ENOUGH_FREE_MEMORY', String(memory), String(free));
  return '';
}

/** Values of xcp-rrdd by name; `null` is not known yet. One that is not recorded is not there. */
type Values = Readonly<Record<string, number | null>>;

function hostValues(pool: XapiPool, host: unknown): Values {
  pool.need('host', host);
  return { cpu_avg: 0.25, ...pool.faults.dataSources };
}

function guestValues(pool: XapiPool, vm: unknown): Values {
  const { memory_dynamic_max: memory, VCPUs_max: vcpus, power_state: state } = pool.need('VM', vm);
  if (state !== 'Running') throw new Fault('VM_BAD_POWER_STATE', String(vm), 'running', String(state).toLowerCase());
  const cpus = Object.fromEntries(Array.from({ length: Number(vcpus) }, (_, index) => [`cpu${index}`, 0.5]));
  return { ...cpus, memory: Number(memory), vif_0_rx: 1_000, vif_0_tx: 500, ...pool.faults.dataSources };
}

const dataSources = (values: Values) =>
  Object.entries(values).map(([name, value]) => ({
    ...{ name_label: name, name_description: '', enabled: value !== null, standard: true, units: '' },
    ...{ min: 0, max: 'Infinity', value: 0 },
  }));

/** The newest value. */
function dataSource(values: Values, name: unknown): number | 'NaN' {
  const value = values[String(name)];
  if (value === undefined || value === null)
    throw new Fault(
      'INTERNAL_ERROR',
      `Rrd_interface.Rrdd_error(Rrdd_internal_error("Rrd.Invalid_data_source(${String(name)})"))`,
    );
  return Number.isNaN(value) ? 'NaN' : value;
}

function migrateReceive(pool: XapiPool, host: string, network: string): Record<string, string> {
  pool.assertStorageMotion();
  const address = pool.addressIn(host, network);
  const [record] = pool.database.table('pool').values();
  const coordinator = pool.need('host', record?.master);
  const session = pool.sessions.open();
  return {
    SM: `http://${address}/services/SM?session_id=${session}`,
    host,
    xenops: `http://${address}/services/xenops?session_id=${session}`,
    session_id: session,
    master: `http://${coordinator.address}`,
  };
}
