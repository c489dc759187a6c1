/**
 * How busy a pool is, from the newest values of xcp-rrdd, which XAPI hands out one by one (`host.query_data_source`,
 * `VM.query_data_source`; names from xapi-project/xen-api, ocaml/xcp-rrdd). It takes one every five seconds, and each is the
 * average of these. How fast a guest writes to its memory is not among them.
 *
 * What is not recorded is unknown, and so is what has no value yet. XAPI has no error code of its own for either, so it is asked first what it
 * records (`get_data_sources`): every fault is one, except that of a guest which has gone since.
 */
import type { Load, VmLoad } from '@lmas/plugin-api';
import { z } from 'zod';
import type { XapiClient } from './client.ts';
import { isFault } from './errors.ts';
import { type Guests, isGuest, isLive, type Pool } from './pool.ts';
import type { HostRecord, VmRecord } from './records.ts';

interface Options {
  readonly signal: AbortSignal;
}

const RRD_INTERVAL_MS = 5_000;
/** So many guests are asked after at once: each takes a few calls, and XAPI has other callers. */
const AT_ONCE = 8;

/** A value that is not known yet is NaN, which XAPI writes as text or null. */
const valueSchema = z.unknown().transform((value) => {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? Math.max(0, number) : null;
});

/** Of one host or guest: the value of a data source, `null` when it is unknown. */
type Ask = (name: string) => Promise<number | null>;

const sourcesSchema = z.array(z.object({ name_label: z.string(), enabled: z.boolean() }));

export async function measureLoad(
  client: XapiClient,
  { pool, members, guests }: { pool: Pool; members: ReadonlyMap<string, HostRecord>; guests: Guests },
  options: Options,
): Promise<Load> {
  const live = [...members].filter(([, host]) => isLive(pool, host));
  const cores = await Promise.all(
    live.map(async ([ref, { cpu_info: cpu }]) => {
      const ask = await sourcesOf(client, 'host', ref, options);
      return times(await ask('cpu_avg'), Number(cpu.cpu_count ?? 0));
    }),
  );
  const running = [...guests.vms].filter(
    ([, vm]) => isGuest(vm) && vm.power_state === 'Running' && members.has(vm.resident_on),
  );
  const vms: VmLoad[] = [];
  for (let first = 0; first < running.length; first += AT_ONCE) {
    const batch = running.slice(first, first + AT_ONCE);
    const loads = await Promise.all(batch.map(([ref, vm]) => loadOf(client, ref, vm, guests, options)));
    vms.push(...loads.filter((load) => load !== null));
  }
  return { intervalMs: RRD_INTERVAL_MS, host: { cpuCores: sum(cores) }, vms };
}

async function sourcesOf(client: XapiClient, kind: 'host' | 'VM', ref: string, options: Options): Promise<Ask> {
  const sources = await client.call(`${kind}.get_data_sources`, [ref], sourcesSchema, options);
  const recorded = new Set(sources.flatMap(({ name_label: name, enabled }) => (enabled ? [name] : [])));
  return async (name) => {
    if (!recorded.has(name)) return null;
    return await client.call(`${kind}.query_data_source`, [ref, name], valueSchema, options);
  };
}

/** `null` for a guest that runs no more. */
async function loadOf(
  client: XapiClient,
  ref: string,
  vm: VmRecord,
  guests: Guests,
  options: Options,
): Promise<VmLoad | null> {
  const devices = vm.VIFs.flatMap((vif) => guests.vifs.get(vif)?.device ?? []);
  try {
    const ask = await sourcesOf(client, 'VM', ref, options);
    const [cpus, memoryBytes, traffic] = await Promise.all([
      Promise.all(Array.from({ length: vm.VCPUs_max }, (_, index) => ask(`cpu${index}`))),
      ask('memory'),
      Promise.all(devices.flatMap((device) => [ask(`vif_${device}_rx`), ask(`vif_${device}_tx`)])),
    ]);
    return {
      id: vm.uuid,
      cpuCores: sum(cpus),
      memoryBytes: memoryBytes ?? vm.memory_dynamic_max,
      networkBytesPerSec: devices.length === 0 ? 0 : sum(traffic),
      dirtyRateBytesPerSec: null,
    };
  } catch (error) {
    if (isFault(error, 'HANDLE_INVALID', 'VM_BAD_POWER_STATE')) return null;
    throw error;
  }
}

const times = (value: number | null, factor: number): number | null => (value === null ? null : value * factor);

/** Of what is known; null when nothing is. */
function sum(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}
