/**
 * What is sent over the link of a lab, as its routers see it: who to whom, which protocol and port, how many packets and bytes. The
 * kernel writes each down itself (a set of nftables), so nothing is missed, however fast it comes.
 */
import { run } from '../lab/src/command.ts';
import type { Lab, SiteName } from '../lab/src/index.ts';
import { netnsOf } from '../lab/src/names.ts';

const TABLE = 'lab_capture';
/** The IP packet's own protocol, not what is in it: whatever else crosses is seen, too. */
const RULES = `
table ip ${TABLE} {
  set seen { type ipv4_addr . ipv4_addr . inet_proto; flags dynamic; size 4096; counter; }
  chain forward {
    type filter hook forward priority 0;
    oifname "wan" add @seen { ip saddr . ip daddr . ip protocol }
  }
}
`;

export interface Seen {
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly packets: number;
  readonly bytes: number;
}

const inRouter = (lab: Lab, site: SiteName, args: readonly string[], input?: string) =>
  run('ip', ['netns', 'exec', netnsOf(lab.name, `rtr-${site}`), 'nft', ...args], input === undefined ? {} : { input });

/** From now on, at both ends of the link; it goes with the lab. Again: from the beginning. */
export async function captureWan(lab: Lab): Promise<void> {
  for (const site of ['a', 'b'] as const) {
    await inRouter(lab, site, ['-f', '-'], `table ip ${TABLE}\ndelete table ip ${TABLE}\n${RULES}`);
  }
}

interface ListedSet {
  readonly set?: {
    readonly elem?: readonly {
      readonly elem: {
        readonly val: { readonly concat: readonly string[] };
        readonly counter: { readonly packets: number; readonly bytes: number };
      };
    }[];
  };
}

/** Since then, in both directions. */
export async function seenOnWan(lab: Lab): Promise<Seen[]> {
  const ends = await Promise.all(
    (['a', 'b'] as const).map(async (site) => {
      const { stdout } = await inRouter(lab, site, ['-j', 'list', 'set', 'ip', TABLE, 'seen']);
      const { nftables } = JSON.parse(stdout) as { nftables: readonly ListedSet[] };
      return nftables.flatMap(({ set }) => set?.elem ?? []);
    }),
  );
  return ends.flat().map(({ elem: { val, counter } }) => {
    const [from = '', to = '', protocol = ''] = val.concat;
    return { from, to, protocol, ...counter };
  });
}
