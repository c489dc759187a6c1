/** What BullMQ says of its connections: the same words each second while Redis is away. */
import type { Logger } from '../log.ts';
import { onceAMinute } from '../once-a-minute.ts';

export function complaints(log: Logger, name: string): (error: Error) => void {
  const say = onceAMinute((err) => log.warn({ err }, name));
  return ({ message }) => say(message);
}
