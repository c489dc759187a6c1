/**
 * What a release takes of what came to XAPI over the years: `VM.migrate_send` has grown parameters, and a release that does not know them
 * refuses the call (MESSAGE_PARAMETER_COUNT_MISMATCH); an option that it does not know it ignores without a word. So neither is sent to
 * a release whose published data model lacks it. By xapi-project/xen-api, ocaml/idl: datamodel_vm.ml, datamodel_lifecycle.ml. Pure.
 */
import type { Pool } from './pool.ts';

/** XenServer 7.3, "inverness". */
const VGPU_MAP_API = '2.8';
/** "26.14.0-next": what came after that one. */
const VDI_FORMAT_MAP_XAPI = '26.15.0';
/**
 * From here on the source takes TLS for storage and memory, whatever scheme the receive map's URLs have, unless `migration-https-only` is off in
 * its xapi.conf, which no call tells (xapi_globs.ml; storage_utils.ml asks it anew for each redirect).
 */
const TLS_XAPI = '22.30';
/** Earlier ones build the address of `VM.pool_migrate` from the host's record alone (xapi_vm_migrate.ml, `pool_migrate`); so, for all we know, does one that does not tell its build. */
const MIGRATE_NETWORK_XAPI = '1.297';

export interface Release {
  /** `vgpu_map` of `VM.migrate_send` and `VM.assert_can_migrate`. */
  readonly hasVgpuMap: boolean;
  /** `vdi_format_map` of `VM.migrate_send`; its dry run has none. */
  readonly hasVdiFormatMap: boolean;
  /** The option `compress`, which came with the pool's own setting of it (22.33). */
  readonly hasCompression: boolean;
  /** The option `network` of `VM.pool_migrate`. */
  readonly hasMigrateNetwork: boolean;
  /** Whether a source sends its storage calls in the clear, with the receive map's session in them; else it may, if it was told to. */
  readonly sendsPlain: boolean;
  /** For people. */
  readonly name: string;
}

/** @param hostRef the coordinator, which takes the call, or a member that has to carry it out: while a pool is updated, members are older */
export function releaseOf({ pool, hosts }: Pool, hostRef = pool.master): Release {
  const host = hosts.get(hostRef);
  const software = host?.software_version ?? {};
  const api = `${host?.API_version_major ?? 0}.${host?.API_version_minor ?? 0}`;
  const build = /\d+(?:\.\d+)*/.exec(software.xapi_build ?? '')?.[0] ?? '0';
  const brand = software.product_brand ?? 'XAPI';
  return {
    hasVgpuMap: compareVersions(api, VGPU_MAP_API) >= 0,
    hasVdiFormatMap: compareVersions(build, VDI_FORMAT_MAP_XAPI) >= 0,
    hasCompression: pool.migration_compression !== undefined,
    hasMigrateNetwork: compareVersions(build, MIGRATE_NETWORK_XAPI) >= 0,
    sendsPlain: compareVersions(build, TLS_XAPI) < 0,
    name: `${brand} ${software.product_version ?? software.platform_version ?? ''}`.trim(),
  };
}

/** Negative when `a` is older. Versions are numbers with dots. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  for (let i = 0; i < Math.max(left?.length ?? 0, right?.length ?? 0); i += 1) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
