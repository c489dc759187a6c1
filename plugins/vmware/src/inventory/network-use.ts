/**
 * What VMs send and receive: the counter `net.usage.average` of the PerformanceManager, all cards of a VM together, as its last real-time
 * sample of 20 seconds (vSphere Web Services API, "Network Counters"; kilobytes per second, taken as 1024 bytes). A vCenter that does not
 * tell says nothing of it, which is no use of 0.
 */
import { pluginErrorCode } from '@lmas/plugin-api';
import type { Options, VimClient } from '../client.ts';
import { isFault } from '../errors.ts';
import { readObject } from '../properties.ts';
import { perfCountersSchema, perfSamplesSchema } from '../records.ts';
import { data, type Ref, refKey } from '../wire/data-objects.ts';

const BYTES = 1_024;
const REAL_TIME_S = 20;
/** A vCenter refuses larger questions where it has to look into its database (config.vpxd.stats.maxQueryMetrics). */
const VMS_AT_A_TIME = 64;

/** Of one question; a login that is lost, or a connection, is for everybody to know. */
const SAYS_NOTHING: ReadonlySet<string | undefined> = new Set(['HYPERVISOR_FAULT', 'TIMEOUT']);

/** Which number the counter has at one vCenter; several hundred counters are read for it, once. */
export class NetworkUse {
  readonly #client: VimClient;
  #counterId: number | undefined;

  constructor(client: VimClient) {
    this.#client = client;
  }

  /** Bytes per second by `refKey`; without those of which nothing is told. */
  async of(vms: readonly Ref[], options: Options): Promise<ReadonlyMap<string, number>> {
    const use = new Map<string, number>();
    try {
      for (let at = 0; at < vms.length; at += VMS_AT_A_TIME) {
        for (const [key, bytesPerSec] of await this.#ask(vms.slice(at, at + VMS_AT_A_TIME), options))
          use.set(key, bytesPerSec);
      }
    } catch (error) {
      // It refuses, answers oddly, or not at all: what it has told so far is what there is to know.
      options.signal.throwIfAborted();
      if (!isFault(error) && !SAYS_NOTHING.has(pluginErrorCode(error))) throw error;
    }
    return use;
  }

  async #ask(vms: readonly Ref[], options: Options): Promise<[string, number][]> {
    const { perfManager } = this.#client.content;
    const counterId = await this.#counter(options);
    if (perfManager === undefined || counterId === undefined) return [];
    const metricId = [data('PerfMetricId', { counterId, instance: '' })]; // all of its cards
    const querySpec = vms.map((entity) =>
      data('PerfQuerySpec', { entity, maxSample: 1, metricId, intervalId: REAL_TIME_S, format: 'normal' }),
    );
    const answer = await this.#client.call(perfManager, 'QueryPerf', { querySpec }, perfSamplesSchema, options);
    return answer.flatMap(({ entity, value }): [string, number][] => {
      const sample = value.find(({ id }) => id.counterId === counterId)?.value.at(-1) ?? -1;
      return sample < 0 ? [] : [[refKey(entity), sample * BYTES]];
    });
  }

  async #counter(options: Options): Promise<number | undefined> {
    const { perfManager } = this.#client.content;
    if (this.#counterId === undefined && perfManager !== undefined) {
      const record = await readObject(this.#client, perfManager, perfCountersSchema, options);
      this.#counterId = record?.perfCounter.find(
        ({ groupInfo, nameInfo, rollupType }) =>
          groupInfo.key === 'net' && nameInfo.key === 'usage' && rollupType === 'average',
      )?.key;
    }
    return this.#counterId;
  }
}
