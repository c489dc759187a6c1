/**
 * What the rest of the orchestrator knows of gateways: how they are put in place, spoken to, and taken away. `ssh/` has
 * the real thing; tests bring their own.
 *
 * Every gateway is addressed by its owner (a migration, a link test) and its end, so that anybody can find and remove it
 * with no memory of who made it.
 */
import type {
  GatewayIdentity,
  GatewayStatus,
  Limits,
  ProbeResult,
  RouteConfig,
  RouteState,
  SessionConfig,
  SessionState,
} from '@lmas/gateway-api';
import type { End } from '../migrations/record.ts';
import type { MachineFacts } from './machine-test.ts';

export interface GatewayAddress {
  readonly site: string;
  /** Id of the migration or link test that it serves. */
  readonly owner: string;
  readonly end: End;
}

type Waiting = { readonly signal: AbortSignal };

/** One running gateway. Calls fail with LmasError GATEWAY_UNREACHABLE, GATEWAY_REFUSED or GATEWAY_ENDED. */
export interface Gateway {
  readonly address: GatewayAddress;
  /** Of the barriers that it may be told to raise; by it and the address `removeBarrier` finds them. */
  readonly barrierName: string;
  identity(options: Waiting): Promise<GatewayIdentity>;
  /** @throws LmasError NO_FREE_PORT when it was to listen on a port that somebody else has */
  configure(session: SessionConfig, options: Waiting): Promise<SessionState>;
  putRoute(id: string, route: RouteConfig, options: Waiting): Promise<RouteState>;
  /** Closes what listens there; "not there" is done. */
  removeRoute(id: string, options: Waiting): Promise<void>;
  renewLease(leaseMs: number, options: Waiting): Promise<void>;
  status(options: Waiting): Promise<GatewayStatus>;
  setLimits(limits: Limits, options: Waiting): Promise<void>;
  probe(durationMs: number, options: Waiting): Promise<ProbeResult>;
  /**
   * Resolves once nobody answers at its control socket any more, or another gateway does: the process has ended. A machine that
   * cannot be reached says nothing about it and is asked again. Rejects only when `signal` aborts.
   */
  gone(options: Waiting): Promise<void>;
  /** Lets go of the connection; the gateway itself runs on. */
  close(): Promise<void>;
}

/**
 * `token` fences: gateway and machine refuse whoever comes with a smaller one (SUPERSEDED), until everything of this address has
 * been taken away. What is started after that belongs to nobody: it ends with its lease, and the next sweep takes it away.
 */
export interface GatewayProvisioner {
  /**
   * Starts a gateway, after removing what an earlier attempt of the same owner left.
   * @throws LmasError GATEWAY_UNREACHABLE, GATEWAY_START_FAILED, GATEWAY_CORRUPT, SUPERSEDED
   */
  start(address: GatewayAddress, token: number, options: Waiting): Promise<Gateway>;
  /** Speaks to one that runs already, and belongs to this token from then on; `undefined` when there is none. */
  attach(address: GatewayAddress, token: number, options: Waiting): Promise<Gateway | undefined>;
  /**
   * Ends it and removes its directory. Idempotent; "not there" is done. With `sparing`, one with open streams is left
   * alone and reported by LmasError IN_USE: it ends by itself when they close.
   */
  remove(address: GatewayAddress, token: number, options: Waiting & { readonly sparing: boolean }): Promise<void>;
  /** Takes away the barriers that this gateway, or one before it, has raised; it may be long gone. "Not there" is done. */
  removeBarrier(address: GatewayAddress, token: number, options: Waiting): Promise<void>;
  /** Looks at a site's machine without changing anything. @throws LmasError GATEWAY_UNREACHABLE, NO_GATEWAY */
  examine(site: string, options: Waiting): Promise<MachineFacts>;
  /** Removes the gateways, fences and barriers of ours at a site whose owner `isOwned` does not know; answers which. */
  sweep(site: string, isOwned: (owner: string) => Promise<boolean>, options: Waiting): Promise<string[]>;
}
