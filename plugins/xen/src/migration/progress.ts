/** XAPI's one fraction of a whole migration, made into what the contract asks for. */
import type { MigrationProgress } from '@lmas/plugin-api';

/** XAPI tells one fraction for all of it; what is made of it here are estimates, the gateways count what really crossed. */
export function progressReporter(
  memoryBytes: number,
  diskBytes: number,
  onProgress: (progress: MigrationProgress) => void,
): (fraction: number) => void {
  const bytesTotal = memoryBytes + diskBytes;
  let best = 0;
  return (fraction) => {
    best = Math.min(1, Math.max(best, fraction));
    const bytesTransferred = Math.round(best * bytesTotal);
    onProgress({
      // Disks are copied and mirrored first, the memory comes last.
      stage: bytesTransferred < diskBytes ? 'disks' : 'memory',
      percent: best * 100,
      bytesTotal,
      bytesTransferred,
      bytesRemaining: bytesTotal - bytesTransferred,
      rateBytesPerSec: null,
      dirtyRateBytesPerSec: null,
      iteration: null,
    });
  };
}
