/** What the kernel holds for the TCP sockets of a machine, as `ss` reports it (ss(8), skmem: r received, t and w to send, o options, bl backlog). */
import type { LabHost } from '../../lab/src/index.ts';

const HELD = new Set(['r', 'w', 'f', 'o', 'bl']);

export async function socketMemoryBytes(machine: LabHost): Promise<number> {
  const { stdout } = await machine.exec(['ss', '-Htnm', 'state', 'all', '( sport != :22 and dport != :22 )']);
  return sumOfSkmem(stdout);
}

/** Exported for its test. `w` holds what is queued to be sent, `t` the part of it that is below; so `t` does not count again. */
export function sumOfSkmem(text: string): number {
  let bytes = 0;
  for (const [, fields = ''] of text.matchAll(/skmem:\(([^)]*)\)/g)) {
    for (const [, name = '', value] of fields.matchAll(/([a-z]+)(\d+)/g)) if (HELD.has(name)) bytes += Number(value);
  }
  return bytes;
}
