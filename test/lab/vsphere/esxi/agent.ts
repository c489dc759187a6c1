/**
 * What a vCenter asks of its hosts. The host, not vCenter, knows which guests it has and which routes its TCP/IP stacks have; both
 * outlive vCenter. `EsxiHost` is one in this process, `RemoteHost` one in a process of its own.
 */
import type { VmSpec } from '../inventory/spec.ts';

export interface Guest {
  readonly vm: VmSpec;
  readonly running: boolean;
}

export interface Route {
  readonly network: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly device?: string;
}

/** Of one TCP/IP stack. */
export interface StackRoutes {
  readonly key: string;
  readonly defaultGateway?: string;
  readonly routes: readonly Route[];
}

export type FlowKind = 'vmotion' | 'nfc';

export interface Flow {
  readonly kind: FlowKind;
  /** Of this host, and of which stack it is. */
  readonly localAddress: string;
  readonly stack: string;
  readonly address: string;
  readonly port: number;
  readonly connections: number;
  readonly bytes: number;
}

export type HoldPoint = 'half' | 'switchover';

export interface MoveOrder {
  readonly id: string;
  /** Instance UUID of the guest. */
  readonly guest: string;
  readonly flows: readonly Flow[];
  /** `null`: as fast as it goes. */
  readonly bytesPerSec: number | null;
  /** Where the move waits for `resume`. */
  readonly holds: readonly HoldPoint[];
  readonly corrupt?: boolean;
}

export interface MoveStatus {
  /** `unknown`: the connection broke when the destination had been told to run the guest. */
  readonly state: 'sending' | 'held' | 'switching' | 'done' | 'failed' | 'unknown';
  readonly heldAt?: HoldPoint;
  readonly sentBytes: number;
  readonly totalBytes: number;
  readonly error?: string;
}

export interface HostState {
  readonly guests: readonly Guest[];
  readonly stacks: readonly StackRoutes[];
}

export interface HostAgent {
  state(): Promise<HostState>;
  /** The destination will take the guest from whoever names the move. @returns the ports it listens on */
  expect(move: string, guest: Guest): Promise<Readonly<Record<FlowKind, number>>>;
  /** The expectation ends; what has arrived stays. */
  forget(move: string): Promise<void>;
  begin(order: MoveOrder): Promise<void>;
  status(move: string): Promise<MoveStatus>;
  /** @returns false when it is too late */
  cancel(move: string): Promise<boolean>;
  resume(move: string): Promise<void>;
  /** Ends `unknown`: the guest is gone, or runs here again. */
  settle(move: string, arrived: boolean): Promise<void>;
  setStack(stack: StackRoutes): Promise<void>;
  /** What vCenter changed of a guest that is here. */
  update(vm: VmSpec): Promise<void>;
}
