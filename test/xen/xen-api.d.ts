/** The part of the npm package `xen-api` that the test of the endpoint uses; it brings no types of its own. */
declare module 'xen-api' {
  import type { EventEmitter } from 'node:events';

  export interface Xapi {
    connect(): Promise<void>;
    disconnect(): Promise<void>;
    call(method: string, ...params: readonly unknown[]): Promise<unknown>;
    /** Resolves with the result of the task. */
    callAsync(method: string, ...params: readonly unknown[]): Promise<unknown>;
    getRecordByUuid(type: string, uuid: string): Promise<Readonly<Record<string, unknown>>>;
    readonly objects: EventEmitter & { readonly all: Readonly<Record<string, Readonly<Record<string, unknown>>>> };
    readonly objectsFetched: Promise<void>;
  }

  export function createClient(options: {
    readonly url: string;
    readonly allowUnauthorized: boolean;
    readonly auth: { readonly user: string; readonly password: string };
    readonly watchEvents?: boolean | readonly string[];
  }): Xapi;
}
