/** Which call moves the guest, and with what. Pure. */
import type { MigrationRequest } from '@lmas/plugin-api';
import type { XenOptions } from '../config.ts';
import type { ReceiveMap } from '../records.ts';
import type { Plan } from './plan.ts';

type Request = Pick<MigrationRequest<XenOptions>, 'tunnelled' | 'options'>;

/** Whether the source is told another address than the destination's own. */
export const isRedirected = ({ tunnelled, options }: Request): boolean => tunnelled && options.route === 'redirected';

/** `VM.pool_migrate` builds its address itself, so it cannot be led anywhere; and it leaves the disks where they are. */
export const usesPoolMigrate = ({ samePool, disks }: Plan, request: Request): boolean =>
  samePool && !isRedirected(request) && disks.every(({ copied }) => !copied);

export const poolMigrateParams = (plan: Plan, network: string, request: Request): readonly unknown[] => [
  plan.vm.ref,
  plan.host?.ref,
  { ...optionsOf(request), live: 'true', network },
];

/** Of `VM.migrate_send` and its dry run, without the maps of newer releases, which older ones refuse as too many parameters. */
export const sendParams = (plan: Plan, map: ReceiveMap, request: Request): readonly unknown[] => [
  plan.vm.ref,
  map,
  true,
  plan.vdiMap,
  plan.vifMap,
  optionsOf(request),
];

function optionsOf({ options: { force, compress } }: Request): Readonly<Record<string, string>> {
  return { ...(force ? { force: 'true' } : {}), ...(compress === undefined ? {} : { compress: String(compress) }) };
}
