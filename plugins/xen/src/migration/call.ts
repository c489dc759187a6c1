/** Which call moves the guest, and with what. Pure. */
import type { MigrationRequest } from '@lmas/plugin-api';
import { canonical } from '../addresses.ts';
import type { XenOptions } from '../config.ts';
import type { ReceiveMap } from '../records.ts';
import { releaseOf } from '../release.ts';
import type { Plan } from './plan.ts';

type Request = Pick<MigrationRequest<XenOptions>, 'tunnelled' | 'options'>;

/** Whether the source is told another address than the destination's own. */
export const isRedirected = ({ tunnelled, options }: Request): boolean => tunnelled && options.route === 'redirected';

/**
 * `VM.pool_migrate` builds its address itself, so it cannot be led anywhere; and it leaves the disks where they are. A sending host that does not
 * know the option `network` goes to the receiving host's management address: past the gateways, if they wait for another.
 */
export const usesPoolMigrate = (plan: Plan, request: Request): boolean =>
  plan.samePool && !isRedirected(request) && plan.disks.every(({ copied }) => !copied) && goesToItsAddress(plan);

const goesToItsAddress = ({ sourcePool, vm, host, address }: Plan): boolean =>
  address === canonical(host?.record.address ?? '') || releaseOf(sourcePool, vm.record.resident_on).hasMigrateNetwork;

export const poolMigrateParams = (plan: Plan, network: string, request: Request): readonly unknown[] => [
  plan.vm.ref,
  plan.host?.ref,
  { ...optionsOf(plan, request), live: 'true', network },
];

/** Of `VM.assert_can_migrate`. What a map of newer releases has nothing to say is left out: older ones refuse it as a parameter too many. */
export const dryRunParams = (plan: Plan, map: ReceiveMap, request: Request): readonly unknown[] => {
  const first = [plan.vm.ref, map, true, plan.vdiMap, plan.vifMap, optionsOf(plan, request)];
  return isEmpty(plan.vgpuMap) ? first : [...first, plan.vgpuMap];
};

/** Of `VM.migrate_send`: the same, and one map more. */
export const sendParams = (plan: Plan, map: ReceiveMap, request: Request): readonly unknown[] => {
  const { vgpuMap, vdiFormatMap } = plan;
  if (isEmpty(vdiFormatMap)) return dryRunParams(plan, map, request);
  return [plan.vm.ref, map, true, plan.vdiMap, plan.vifMap, optionsOf(plan, request), vgpuMap, vdiFormatMap];
};

const isEmpty = (map: object): boolean => Object.keys(map).length === 0;

function optionsOf({ sourcePool }: Plan, { options: { force, compress } }: Request): Readonly<Record<string, string>> {
  const isAsked = compress !== undefined && releaseOf(sourcePool).hasCompression;
  return { ...(force ? { force: 'true' } : {}), ...(isAsked ? { compress: String(compress) } : {}) };
}
