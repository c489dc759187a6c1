/** What the relay counts, made into what the contract asks for: xl itself hides how far it is (xl_migrate.c). */
import type { MigrationProgress } from '@lmas/plugin-api';

/** Memory that is written while it moves is sent again: more may cross than there is, and how often nobody says. */
export function progressReporter(
  memoryBytes: number,
  onProgress: (progress: MigrationProgress) => void,
): (sentBytes: number) => void {
  return (sentBytes) => {
    const bytesTotal = Math.max(memoryBytes, sentBytes);
    onProgress({
      stage: 'memory',
      percent: bytesTotal === 0 ? 0 : Math.min(99, (sentBytes / bytesTotal) * 100),
      bytesTotal,
      bytesTransferred: sentBytes,
      bytesRemaining: bytesTotal - sentBytes,
      rateBytesPerSec: null,
      dirtyRateBytesPerSec: null,
      iteration: null,
    });
  };
}
