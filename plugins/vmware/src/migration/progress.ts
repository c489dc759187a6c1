/** A task's one percentage of the whole, made into what the contract asks for. */
import type { MigrationProgress } from '@lmas/plugin-api';
import type { SightingRecord } from '../records.ts';
import type { Plan } from './plan.ts';

/** vSphere counts no bytes; what is made of its percentage are estimates, the gateways count what really crossed. */
export function progressReporter(
  memoryBytes: number,
  diskBytes: number,
  onProgress: (progress: MigrationProgress) => void,
): (percent: number) => void {
  const bytesTotal = memoryBytes + diskBytes;
  let best = 0;
  return (percent) => {
    best = Math.min(100, Math.max(best, percent));
    const bytesTransferred = Math.round((best / 100) * bytesTotal);
    onProgress({
      // Disks are copied first, while the guest's writes to them are sent along; the memory comes last.
      stage: bytesTransferred < diskBytes || memoryBytes === 0 ? 'disks' : 'memory',
      percent: best,
      bytesTotal,
      bytesTransferred,
      bytesRemaining: bytesTotal - bytesTransferred,
      rateBytesPerSec: null,
      dirtyRateBytesPerSec: null,
      iteration: null,
    });
  };
}

export function sizesOf({ vm, disks, request }: Plan): [memoryBytes: number, diskBytes: number] {
  const copied = disks.filter((disk) => disk.copied).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return [request.disksAlone === true ? 0 : memoryBytesOf(vm.record), copied];
}

export const memoryBytesOf = (record: Pick<SightingRecord, 'config.hardware.memoryMB'> | undefined): number =>
  (record?.['config.hardware.memoryMB'] ?? 0) * 1024 ** 2;
