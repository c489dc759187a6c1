/** What BullMQ says of its connections: the same words each second while Redis is away. */
import type { Logger } from '../log.ts';
import { onceAMinute } from '../once-a-minute.ts';
import { inOurWords } from '../redis/away.ts';

export function complaints(log: Logger, name: string): (error: Error) => void {
  const say = onceAMinute((err) => log.warn({ err }, name));
  return (error) => say(inOurWords(error));
}
