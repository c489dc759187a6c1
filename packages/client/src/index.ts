/** The typed REST client of LMAS; see client.ts for the methods, errors.ts for what they throw. Runs in browsers too. */
export type { AccessClient } from './access.ts';
export type { CallOptions } from './calls.ts';
export { createLmasClient, type LmasClient, type LmasClientOptions } from './client.ts';
export {
  CONNECTION_ERRORS,
  type ConnectionErrorCode,
  type FieldError,
  LmasApiError,
  LmasConnectionError,
} from './errors.ts';
export { EventStreamDecoder, type StreamEvent } from './event-stream.ts';
export type { components, paths } from './schema.ts';
export * from './types.ts';
export type { WatchedEvent, WatchOptions } from './watch.ts';
