/**
 * The procedures of libvirt's remote program that this plugin uses: number, arguments, result. Numbers and layouts are
 * those of src/remote/remote_protocol.x, unchanged between libvirt 8.5 and 11.7. Both directions are described, so that
 * the fake daemon of the tests speaks from the same table; golden vectors and real daemons keep the table honest.
 */
import { authTypes } from './packets.ts';
import { statsParams, typedParams } from './typed-params.ts';
import {
  array,
  type Codec,
  fixedArray,
  fixedOpaque,
  int,
  nothing,
  opaque,
  optional,
  string,
  struct,
  uhyper,
  uint,
} from './xdr.ts';

const text = string(4_194_304);
const cookie = opaque(4_194_304);
const uuid = fixedOpaque(16);

/** `remote_nonnull_domain`; id is -1 when there is no process. Hand it back as a look-up gave it. */
export const domain = struct({ name: text, uuid, id: int });
export type Domain = { readonly name: string; readonly uuid: Buffer; readonly id: number };

export const pool = struct({ name: text, uuid });
export const volume = struct({ pool: text, name: text, key: text });
const network = struct({ name: text, uuid });
const secret = struct({ uuid, usageType: int, usageId: text });
const snapshot = struct({ name: text, domain });
const checkpoint = struct({ name: text, domain });

export interface Procedure<A, R> {
  readonly number: number;
  readonly args: Codec<A>;
  readonly result: Codec<R>;
}

const procedure = <A, R>(number: number, args: Codec<A>, result: Codec<R>): Procedure<A, R> => ({
  number,
  args,
  result,
});

const ofDomain = { domain } as const;

export const PROCEDURES = {
  connectOpen: procedure(1, struct({ name: optional(text), flags: uint }), nothing),
  connectGetVersion: procedure(4, nothing, struct({ version: uhyper })),
  nodeGetInfo: procedure(
    6,
    nothing,
    struct({
      model: fixedArray(int, 32),
      memoryKib: uhyper,
      cpus: int,
      mhz: int,
      nodes: int,
      sockets: int,
      cores: int,
      threads: int,
    }),
  ),
  connectGetCapabilities: procedure(7, nothing, struct({ xml: text })),
  domainCreateXml: procedure(10, struct({ xml: text, flags: uint }), struct(ofDomain)),
  domainDefineXml: procedure(11, struct({ xml: text }), struct(ofDomain)),
  domainDestroy: procedure(12, struct(ofDomain), nothing),
  domainGetXmlDesc: procedure(14, struct({ domain, flags: uint }), struct({ xml: text })),
  domainGetAutostart: procedure(15, struct(ofDomain), struct({ autostart: int })),
  domainLookupByName: procedure(23, struct({ name: text }), struct(ofDomain)),
  domainLookupByUuid: procedure(24, struct({ uuid }), struct(ofDomain)),
  domainResume: procedure(28, struct(ofDomain), nothing),
  domainSetAutostart: procedure(29, struct({ domain, autostart: int }), nothing),
  networkGetXmlDesc: procedure(43, struct({ network, flags: uint }), struct({ xml: text })),
  connectGetHostname: procedure(59, nothing, struct({ hostname: text })),
  connectSupportsFeature: procedure(60, struct({ feature: int }), struct({ supported: int })),
  authList: procedure(66, nothing, struct({ types: authTypes })),
  authPolkit: procedure(70, nothing, struct({ complete: int })),
  storagePoolLookupByName: procedure(84, struct({ name: text }), struct({ pool })),
  storagePoolGetInfo: procedure(
    87,
    struct({ pool }),
    struct({ state: int, capacity: uhyper, allocation: uhyper, available: uhyper }),
  ),
  storagePoolGetXmlDesc: procedure(88, struct({ pool, flags: uint }), struct({ xml: text })),
  storageVolCreateXml: procedure(93, struct({ pool, xml: text, flags: uint }), struct({ volume })),
  storageVolDelete: procedure(94, struct({ volume, flags: uint }), nothing),
  storageVolLookupByPath: procedure(97, struct({ path: text }), struct({ volume })),
  storageVolGetInfo: procedure(98, struct({ volume }), struct({ type: int, capacity: uhyper, allocation: uhyper })),
  nodeGetFreeMemory: procedure(102, nothing, struct({ bytes: uhyper })),
  secretLookupByUuid: procedure(141, struct({ uuid }), struct({ secret })),
  domainIsPersistent: procedure(151, struct(ofDomain), struct({ persistent: int })),
  connectGetLibVersion: procedure(157, nothing, struct({ version: uhyper })),
  domainAbortJob: procedure(164, struct(ofDomain), nothing),
  domainMigrateSetMaxDowntime: procedure(166, struct({ domain, downtimeMs: uhyper, flags: uint }), nothing),
  domainHasManagedSaveImage: procedure(183, struct({ domain, flags: uint }), struct({ result: int })),
  domainGetBlockInfo: procedure(
    194,
    struct({ domain, path: text, flags: uint }),
    struct({ allocation: uhyper, capacity: uhyper, physical: uhyper }),
  ),
  domainMigrateSetMaxSpeed: procedure(207, struct({ domain, mibPerSec: uhyper, flags: uint }), nothing),
  domainGetState: procedure(212, struct({ domain, flags: uint }), struct({ state: int, reason: int })),
  /** `cpu` -1 is all of them; `nparams` 0 asks how many values there are, and any other number has to be that one. */
  nodeGetCpuStats: procedure(
    227,
    struct({ cpu: int, nparams: int, flags: uint }),
    struct({ stats: array(struct({ field: text, value: uhyper }), 16), nparams: int }),
  ),
  domainUndefineFlags: procedure(231, struct({ domain, flags: uint }), nothing),
  connectListAllDomains: procedure(
    273,
    struct({ needResults: int, flags: uint }),
    struct({ domains: array(domain, 16_384), count: uint }),
  ),
  domainListAllSnapshots: procedure(
    274,
    struct({ domain, needResults: int, flags: uint }),
    struct({ snapshots: array(snapshot, 16_384), count: int }),
  ),
  connectListAllStoragePools: procedure(
    281,
    struct({ needResults: int, flags: uint }),
    struct({ pools: array(pool, 16_384), count: uint }),
  ),
  connectListAllNetworks: procedure(
    283,
    struct({ needResults: int, flags: uint }),
    struct({ networks: array(network, 16_384), count: uint }),
  ),
  domainGetJobStats: procedure(298, struct({ domain, flags: uint }), struct({ type: int, params: typedParams })),
  domainMigrateBegin3Params: procedure(
    302,
    struct({ domain, params: typedParams, flags: uint }),
    struct({ cookie, xml: text }),
  ),
  domainMigratePrepare3Params: procedure(
    303,
    struct({ params: typedParams, cookie, flags: uint }),
    struct({ cookie, uri: optional(text) }),
  ),
  domainMigratePerform3Params: procedure(
    305,
    struct({ domain, destinationUri: optional(text), params: typedParams, cookie, flags: uint }),
    struct({ cookie }),
  ),
  domainMigrateFinish3Params: procedure(
    306,
    struct({ params: typedParams, cookie, flags: uint, cancelled: int }),
    struct({ domain, cookie }),
  ),
  domainMigrateConfirm3Params: procedure(
    307,
    struct({ domain, params: typedParams, cookie, flags: uint, cancelled: int }),
    nothing,
  ),
  connectDomainEventCallbackRegisterAny: procedure(
    316,
    struct({ eventId: int, domain: optional(domain) }),
    struct({ callbackId: int }),
  ),
  connectGetDomainCapabilities: procedure(
    342,
    struct({
      emulator: optional(text),
      arch: optional(text),
      machine: optional(text),
      virtType: optional(text),
      flags: uint,
    }),
    struct({ xml: text }),
  ),
  /** No domains: all that `flags` let through. */
  connectGetAllDomainStats: procedure(
    344,
    struct({ domains: array(domain, 16_384), stats: uint, flags: uint }),
    struct({ records: array(struct({ domain, params: statsParams }), 16_384) }),
  ),
  domainMigrateStartPostCopy: procedure(364, struct({ domain, flags: uint }), nothing),
  storagePoolLookupByTargetPath: procedure(391, struct({ path: text }), struct({ pool })),
  connectCompareHypervisorCpu: procedure(
    393,
    struct({
      emulator: optional(text),
      arch: optional(text),
      machine: optional(text),
      virtType: optional(text),
      xml: text,
      flags: uint,
    }),
    struct({ result: int }),
  ),
  /** libvirt 5.6. */
  domainListAllCheckpoints: procedure(
    413,
    struct({ domain, needResults: int, flags: uint }),
    struct({ checkpoints: array(checkpoint, 16_384), count: int }),
  ),
  /** libvirt 6.0. Resolves when the job has begun; the job ends by an abort. */
  domainBackupBegin: procedure(
    421,
    struct({ domain, backupXml: text, checkpointXml: optional(text), flags: uint }),
    nothing,
  ),
  /** libvirt 6.0. */
  domainBackupGetXmlDesc: procedure(422, struct({ domain, flags: uint }), struct({ xml: text })),
  /** libvirt 7.2. 1 to 60 seconds; flags 0 samples pages. Resolves when it has begun. */
  domainStartDirtyRateCalc: procedure(427, struct({ domain, seconds: int, flags: uint }), nothing),
  /** libvirt 8.5. */
  domainAbortJobFlags: procedure(442, struct({ domain, flags: uint }), nothing),
} as const;

export type ProcedureName = keyof typeof PROCEDURES;
export type ArgsOf<N extends ProcedureName> = (typeof PROCEDURES)[N] extends Procedure<infer A, unknown> ? A : never;
export type ResultOf<N extends ProcedureName> = (typeof PROCEDURES)[N] extends Procedure<infer _A, infer R> ? R : never;

/** Events come as messages with a procedure number of their own; `id` is what register (316) takes. */
export const EVENTS = {
  lifecycle: {
    id: 0,
    number: 318,
    body: struct({ callbackId: int, message: struct({ domain, event: int, detail: int }) }),
  },
  migrationIteration: { id: 20, number: 359, body: struct({ callbackId: int, domain, iteration: int }) },
  jobCompleted: { id: 21, number: 363, body: struct({ callbackId: int, domain, params: typedParams }) },
} as const;

export type EventName = keyof typeof EVENTS;
export type EventBody<N extends EventName> = (typeof EVENTS)[N]['body'] extends Codec<infer T> ? T : never;
