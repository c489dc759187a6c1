/** What every group of parts is made with: the settings, the log, and where it leaves word of how it is ended. */
import type { Config, Role } from '../config.ts';
import type { RootLogger } from '../log.ts';
import type { Closers } from './closers.ts';

export interface Base {
  readonly config: Config;
  readonly log: RootLogger;
  readonly closers: Closers;
  /** Aborts, with the reason in words, when the process begins to end: nothing new is begun, what is under way is brought to its end. */
  readonly stopping: AbortSignal;
}

/** Whether this process does what that role does. */
export const hasRole = ({ role }: Config, asked: Role): boolean => role === 'all' || role === asked;
