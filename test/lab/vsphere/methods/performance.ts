/** PerformanceManager: one counter, of what VMs send and receive, and its last real-time sample. */
import type { Call, Methods, VsphereEndpoint } from '../endpoint.ts';
import { invalidArgument } from '../fault.ts';
import { fill } from '../schema/fill.ts';
import { type DataObject, listOf, type MoRef, moRef, textOf } from '../schema/value.ts';
import { now } from '../tasks.ts';

export const PERF_MANAGER = moRef('PerformanceManager', 'PerfMgr');
const REAL_TIME_S = 20;
/** As vCenters number it, mostly: which number it has, only the list of counters says. */
const NET_USAGE = 143;

const named = (key: string) => ({ _typeName: 'ElementDescription', key, label: key, summary: key });

export function seedPerformance({ objects, schema }: VsphereEndpoint): void {
  const counter = (key: number, name: string, rollupType: string) =>
    fill(schema, 'PerfCounterInfo', {
      ...{ key, groupInfo: named('net'), nameInfo: named(name), unitInfo: named('kiloBytesPerSecond') },
      ...{ rollupType, statsType: 'rate', level: 1 },
    });
  objects.set(PERF_MANAGER, {
    perfCounter: [
      counter(142, 'usage', 'none'),
      counter(NET_USAGE, 'usage', 'average'),
      counter(146, 'received', 'average'),
    ],
  });
}

function queryPerf({ endpoint, parameters }: Call): DataObject[] {
  return listOf(parameters.querySpec).map((spec) => {
    const entity = spec.entity as MoRef;
    const uuid = textOf(endpoint.objects.at(entity, 'config.instanceUuid')) ?? '';
    const kiloBytes = endpoint.networkUse.get(uuid);
    if (spec.intervalId !== REAL_TIME_S) throw invalidArgument('querySpec.interval');
    const series = listOf(spec.metricId).map((id) => ({
      ...{ _typeName: 'PerfMetricIntSeries', id },
      value: [kiloBytes !== undefined && id.counterId === NET_USAGE && id.instance === '' ? kiloBytes : -1],
    }));
    return {
      ...{ _typeName: 'PerfEntityMetric', entity },
      ...(kiloBytes === undefined ? {} : { sampleInfo: [{ timestamp: now(), interval: REAL_TIME_S }], value: series }),
    };
  });
}

export const PERFORMANCE_METHODS: Methods = { 'PerformanceManager.QueryPerf': queryPerf };
