/**
 * The notices of everything, heard once for the whole page. A lost connection is told in the header and taken up
 * again where it broke, so nothing is missed meanwhile.
 */
import type { LmasClient } from '@lmas/client';
import { signal } from '@preact/signals';

/** How many notices came so far; whoever shows what they tell of looks again when it changes. */
export const changes = signal(0);
/** Whether notices come now. */
export const connected = signal(true);

/** Until `signal` aborts. */
export async function followNotices(client: LmasClient, { signal: ending }: { signal: AbortSignal }): Promise<void> {
  try {
    const notices = client.watchNotices({
      signal: ending,
      giveUpAfterMs: null,
      onConnectionLost: () => {
        connected.value = false;
      },
      onConnected: () => {
        // What happened between the page's first look and now was heard by nobody.
        changes.value += 1;
        connected.value = true;
      },
    });
    for await (const _ of notices) changes.value += 1;
  } catch {
    if (!ending.aborted) connected.value = false; // refused: the next call of the page says why
  }
}
