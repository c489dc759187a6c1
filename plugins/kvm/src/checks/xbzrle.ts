/** What a cache for xbzrle costs the source host, and whether it can be of use. */
import type { Finding } from '@lmas/plugin-api';
import { freeMemoryBytes } from '../free-memory.ts';
import { blocker, type CheckContext, warning } from './types.ts';

const MIB = 1024 ** 2;
/** The first pass sends what nobody has seen, the second fills the cache (`xbzrle_started` in QEMU's migration/ram.c). */
const FIRST_PASS_WITH_DIFFERENCES = 3;

export async function checkXbzrle(context: CheckContext): Promise<Finding[]> {
  const { xbzrleCacheMib } = context.request.options;
  if (xbzrleCacheMib === 0) return [];
  return [
    ...checkGuestMemory(context, xbzrleCacheMib),
    ...(await checkSourceMemory(context, xbzrleCacheMib)),
    ...checkPasses(context),
  ];
}

function checkGuestMemory({ plan }: CheckContext, cacheMib: number): Finding[] {
  const memoryMib = Math.floor(plan.definition.memoryBytes / MIB);
  if (cacheMib <= memoryMib) return [];
  return [
    blocker(
      'XBZRLE_CACHE_EXCEEDS_GUEST',
      `The xbzrle cache of ${cacheMib} MiB is larger than the guest, which has ${memoryMib} MiB of memory.`,
      'Set xbzrleCacheMib to about what the guest writes to during one pass over its memory, and to a power of two.',
    ),
  ];
}

async function checkSourceMemory(context: CheckContext, cacheMib: number): Promise<Finding[]> {
  const freeMib = Math.floor((await freeMemoryBytes(context.ends.source, context)) / MIB);
  if (freeMib >= cacheMib) return [];
  return [
    warning(
      'XBZRLE_CACHE_MEMORY_SHORT',
      `The xbzrle cache may take ${cacheMib} MiB at the source, which has ${freeMib} MiB available.`,
      'Set a smaller xbzrleCacheMib, or free memory there: a host that runs out of it may end the VM.',
    ),
  ];
}

function checkPasses({ request }: CheckContext): Finding[] {
  const { postCopy, postCopyAfterPasses } = request.options;
  if (!postCopy || postCopyAfterPasses >= FIRST_PASS_WITH_DIFFERENCES) return [];
  return [
    warning(
      'XBZRLE_BEFORE_POST_COPY',
      `xbzrle saves nothing here: post-copy takes over after pass ${postCopyAfterPasses}, and differences are sent from pass ${FIRST_PASS_WITH_DIFFERENCES} on.`,
      'Raise postCopyAfterPasses, or leave xbzrleCacheMib at 0.',
    ),
  ];
}
