/**
 * A plugin and the sessions it opens to endpoints. The orchestrator owns every session that `connect` returned and
 * closes it; a plugin never keeps a connection of its own beyond that.
 */
import type { z } from 'zod';
import type { DrillDriver, DrillRequest } from './drill.ts';
import type { Load } from './load.ts';
import type { MigrationContext, MigrationDriver, MigrationRequest } from './migration.ts';
import type { Presence } from './placement.ts';
import type { HostSummary, StorageSummary } from './places.ts';
import type { RelocationDriver, RelocationRequest } from './relocation.ts';
import type { VerificationStep } from './verification.ts';

export const PLUGIN_API_VERSION = 1;

/** What a plugin can do: data that the orchestrator and the API show, instead of exceptions later. */
export interface PluginCapabilities {
  /** The hypervisor can be given the gateway's address. */
  readonly redirectedRoute: boolean;
  /** The gateway has to be the next hop. */
  readonly transparentRoute: boolean;
  /** An endpoint stands for many hosts; between which two a VM would move is known when it has been checked. Default: for one. */
  readonly manyHosts?: boolean;
  readonly copiesDisks: boolean;
  readonly postCopy: boolean;
  /** A migration goes on when the orchestrator dies, always or with some option; then there is something to `follow`. */
  readonly survivesController: boolean;
  /** There is a `drill`: a copy of a running VM can be started at the destination, and undone. Default: no. */
  readonly drills?: boolean;
  /** There is a `relocation`: a VM that is powered off can be moved as it is. Default: no. */
  readonly movesPoweredOff?: boolean;
  /** Disks of a running VM can be moved alone, while it stays on its host (`MigrationRequest.disksAlone`). Default: no. */
  readonly movesDisksAlone?: boolean;
}

/** Secrets of an endpoint, decrypted only for `connect`. */
export type Credential =
  | {
      readonly kind: 'ssh-key';
      readonly username: string;
      readonly privateKey: string;
      readonly passphrase?: string | undefined;
    }
  | { readonly kind: 'password'; readonly username: string; readonly password: string };

export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** One run of one migration, among those that have had it. */
export interface RunIdentity {
  readonly migrationId: string;
  /** Fencing token: each run has a larger one than all before it, the first one 1. */
  readonly token: number;
}

export interface ConnectContext {
  readonly log: Logger;
  readonly credential: Credential;
  /** What people call it; for messages. */
  readonly endpoint?: string | undefined;
  /** Whose session it becomes; absent for questions that belong to no run (inventory, checks, tests). */
  readonly run?: RunIdentity | undefined;
}

export interface HypervisorPlugin<Config = unknown, Options = unknown> {
  /** Short, lower case, unique: `kvm`. */
  readonly name: string;
  readonly apiVersion: typeof PLUGIN_API_VERSION;
  readonly capabilities: PluginCapabilities;
  /** Settings of an endpoint; never secrets. Its JSON schema is shown in the API. */
  readonly configSchema: z.ZodType<Config>;
  /**
   * This hypervisor's own options of a migration, each with its default. One that is the name of a place says which kind,
   * `.meta({ names: 'host' })`, and is offered those of the destination's inventory.
   */
  readonly optionsSchema: z.ZodType<Options>;
  /** The kinds of credential that its endpoints can log in with; an endpoint is registered with no other. Default: all. */
  readonly credentialKinds?: readonly Credential['kind'][];
  /**
   * What such an endpoint is logged in to, as text. Endpoints that have it in common, such as two parts of one vCenter, share their accounts: a
   * login that one of them was refused is not tried by the others either, so that nobody gets locked out. Default: each endpoint its own.
   */
  loginTarget?(config: Config): string;
  /**
   * Opens a session to one endpoint, after checking who is there (host key, certificate). With `context.run`, what an
   * earlier run of this migration still has open there must not be able to act any more when it resolves, as far as the
   * hypervisor allows: `assertCurrent` cannot help a process that is stopped between that and its next call.
   * @throws PluginError UNREACHABLE, LOGIN_REFUSED, HOST_KEY_MISMATCH, INVALID_CONFIG, SUPERSEDED
   */
  connect(config: Config, context: ConnectContext, options: { signal: AbortSignal }): Promise<EndpointSession>;
  /**
   * Stands for an endpoint that could not be connected to, so that a recovery can ask the other end alone: `closed` has
   * aborted with `reason`, and every question is answered with it. Without this a recovery waits for both.
   */
  unreachable?(config: Config, reason: Error): EndpointSession;
  /**
   * Binds the verbs of one migration to its two ends. No side effects; both sessions are of this plugin.
   * The driver lives as long as the sessions do.
   */
  migration(
    ends: { readonly source: EndpointSession; readonly destination: EndpointSession },
    request: MigrationRequest<Options>,
    context: MigrationContext,
  ): MigrationDriver;
  /**
   * Binds the verbs of one drill to its two ends, as `migration` does: no side effects. One end may be `unreachable`; then what was
   * made at the other can be released all the same. Only with `capabilities.drills`.
   */
  drill?(
    ends: { readonly source: EndpointSession; readonly destination: EndpointSession },
    request: DrillRequest<Options>,
    context: MigrationContext,
  ): DrillDriver;
  /**
   * Binds the verbs of one relocation to its two ends, as `drill` does. One end may be `unreachable`; then the other can be asked, and
   * what was made there be released all the same. Only with `capabilities.movesPoweredOff`.
   */
  relocation?(
    ends: { readonly source: EndpointSession; readonly destination: EndpointSession },
    request: RelocationRequest<Options>,
    context: MigrationContext,
  ): RelocationDriver;
}

/**
 * A live control connection to one endpoint. Without a run it serves the questions of many at the same time, each with a `signal` of its own
 * that stops no other one, and is kept for minutes while nobody asks.
 */
export interface EndpointSession {
  /** Aborts when the connection is lost, with the PluginError as its reason. */
  readonly closed: AbortSignal;
  /** Everything the orchestrator wants to know of this endpoint, in one sweep. */
  inventory(options: { signal: AbortSignal }): Promise<Inventory>;
  /** @throws PluginError VM_NOT_FOUND */
  findVm(idOrName: string, options: { signal: AbortSignal }): Promise<VmSummary>;
  /**
   * Looks, read-only, at all that migrations will need here and that only this endpoint can show; each step as soon as it
   * is known, so that one that hangs hides none before it. A step that fails is an answer, not an error (`verifyInOrder`).
   * That the session could be opened and the inventory taken is seen before it is called; without it, that is all.
   */
  verify?(options: { signal: AbortSignal }): AsyncIterable<VerificationStep>;
  /**
   * What the endpoint and its running VMs use now; nothing is changed, as by `check`. Over about `intervalMs`, or over what the
   * hypervisor averages by itself; the answer says which. Without this verb the endpoint cannot be balanced.
   * `dirtyRates`: where dirty rates are known only when a measurement of each VM is begun, it is begun. Default: false.
   */
  load?(options: { signal: AbortSignal; intervalMs: number; dirtyRates?: boolean }): Promise<Load>;
  /** Idempotent; never throws. */
  close(): Promise<void>;
}

export interface VmRef {
  /** The hypervisor's stable identifier (libvirt UUID, instanceUuid, XAPI uuid). */
  readonly id: string;
  readonly name: string;
}

export interface VmSummary extends VmRef {
  readonly presence: Presence;
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly disks: readonly VmDisk[];
  readonly networks: readonly string[];
  /** What people wrote at it, at its hypervisor, to tell VMs from each other; absent where there is no such thing. */
  readonly labels?: readonly string[];
  /** The manager that owns it, if another one does: `nova`, `ovirt`, `proxmox`, `pacemaker` … */
  readonly managedBy: string | null;
  /** Name of the one of `Inventory.hosts` that runs it; absent where none does, or where the endpoint is one host. */
  readonly host?: string;
}

export interface VmDisk {
  /** As the guest's configuration names it: `vda`. */
  readonly name: string;
  /** Path or URL at this endpoint. */
  readonly location: string | null;
  readonly sizeBytes: number | null;
  readonly readOnly: boolean;
}

export interface Inventory {
  /** The endpoint as a whole; of many hosts, what those that are connected have together. */
  readonly host: {
    readonly name: string;
    readonly version: string;
    readonly cpus: number;
    readonly memoryBytes: number;
    readonly memoryFreeBytes: number;
  };
  /** Each of the hosts that the endpoint stands for, however many. */
  readonly hosts?: readonly HostSummary[];
  /** What these hosts see. */
  readonly storage?: readonly StorageSummary[];
  readonly networks: readonly string[];
  readonly vms: readonly VmSummary[];
}
