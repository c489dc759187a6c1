/**
 * What is on the machines of a lab: processes, listening sockets, firewall rules, routing rules, files of gateways. Two
 * looks, before and after, tell what a migration left behind.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Lab } from '../lab/src/index.ts';

/** A process that was told to end needs a moment. */
export const SETTLE_MS = 10_000;

/** Every process by its command line, every socket, rule and file that a migration could have made. Complete bundles stay. */
const LOOK = `
for dir in /proc/[0-9]*; do
  [ "$dir" = "/proc/$$" ] && continue
  args=$(tr '\\0' ' ' <"$dir/cmdline" 2>/dev/null) && [ -n "$args" ] && echo "process $args"
done
ss -Hltnu | while read -r net state recv send local rest; do echo "listener $net $local"; done
ss -Hlx | while read -r net state recv send local rest; do echo "socket $local"; done
nft list ruleset 2>/dev/null | sed 's/^/firewall /'
ip rule | sed 's/^/rule /'
ip -6 rule | sed 's/^/rule6 /'
ip route show table all | grep -v 'proto kernel' | sed 's/^/route /'
find /root /tmp /run /var/lib/lmas -xdev -path '*lmas*' -not -type d -regextype posix-extended -not -regex '.*/bundles/[0-9a-f]{64}(\\.lock|/.*)' 2>/dev/null | sed 's/^/file /'
`;

/** The traces of one machine, one line each. */
async function look(lab: Lab, machine: keyof Lab['machines']): Promise<Set<string>> {
  const { stdout } = await lab.machines[machine].exec(['/bin/sh', '-c', LOOK]);
  return new Set(stdout.split('\n').filter((line) => line !== '' && !isOurs(line) && !isSshSession(line)));
}

/** The look itself and what it started. */
const isOurs = (line: string): boolean => /^process (\/bin\/sh -c|tr |find |ss |sed |ip |grep )/.test(line);
/** The orchestrator keeps SSH connections open between migrations; they are not a migration's. */
const isSshSession = (line: string): boolean => /^process sshd: /.test(line);

export type Traces = ReadonlyMap<keyof Lab['machines'], ReadonlySet<string>>;

export async function takeTraces(lab: Lab): Promise<Traces> {
  const machines = Object.keys(lab.machines) as (keyof Lab['machines'])[];
  return new Map(await Promise.all(machines.map(async (machine) => [machine, await look(lab, machine)] as const)));
}

/**
 * What is there now and was not before, except what `expected` knows (the VM at its destination). Looks again for
 * `settleMs` before it says that something is left.
 */
export async function leftoversSince(
  before: Traces,
  lab: Lab,
  expected: (line: string) => boolean,
  settleMs = SETTLE_MS,
): Promise<string[]> {
  const deadline = performance.now() + settleMs;
  while (true) {
    const now = await takeTraces(lab);
    const leftovers = [...now].flatMap(([machine, lines]) =>
      [...lines]
        .filter((line) => !before.get(machine)?.has(line))
        .map((line) => `${machine}: ${line}`)
        .filter((line) => !expected(line)),
    );
    if (leftovers.length === 0 || performance.now() > deadline) return leftovers;
    await delay(250);
  }
}
