/** The typed REST client of LMAS; see client.ts for the methods, errors.ts for what they throw. Runs in browsers too. */
export type { AccessClient } from './access.ts';
export { type CallOptions, versionOf } from './calls.ts';
export { createLmasClient, type LmasClient, type LmasClientOptions } from './client.ts';
export { delay } from './delay.ts';
export {
  CONNECTION_ERRORS,
  type ConnectionErrorCode,
  type FieldError,
  inSentences,
  isPassing,
  LmasApiError,
  LmasConnectionError,
  type Sentences,
} from './errors.ts';
export { EventStreamDecoder, type StreamEvent } from './event-stream.ts';
export { everyPage, type Page } from './pages.ts';
export type { PlanClient, PlanRunOrder } from './plans.ts';
export type { components, paths } from './schema.ts';
export * from './types.ts';
export type { WatchedEvent, WatchedNotice, WatchedPolicyEvent, WatchedRunEvent, WatchOptions } from './watch.ts';
