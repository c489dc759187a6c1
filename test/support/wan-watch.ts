/**
 * Who talks to whom over the lab's WAN, counted by the kernel in the router of a site: every packet that it takes from the line or
 * puts onto it, by the pair of its addresses. So a test can say not only what went through the tunnel, but that nothing went beside it.
 */
import { run } from '../lab/src/command.ts';
import type { Lab } from '../lab/src/index.ts';
import { netnsOf } from '../lab/src/names.ts';

export interface WanFlow {
  readonly from: string;
  readonly to: string;
  readonly packets: number;
  readonly bytes: number;
}

const TABLE = 'wan-watch';
const RULES = `
table ip ${TABLE} {
  set pairs { type ipv4_addr . ipv4_addr; flags dynamic; counter; size 4096; }
  chain forward {
    type filter hook forward priority 0
    oifname "wan" add @pairs { ip saddr . ip daddr }
    iifname "wan" add @pairs { ip saddr . ip daddr }
  }
}
`;

interface Listing {
  readonly nftables: readonly { readonly set?: { readonly elem?: readonly { readonly elem: Element }[] } }[];
}
interface Element {
  readonly val: { readonly concat: readonly [string, string] };
  readonly counter: { readonly packets: number; readonly bytes: number };
}

export class WanWatch implements AsyncDisposable {
  readonly #netns: string;

  private constructor(netns: string) {
    this.#netns = netns;
  }

  static async start(lab: Lab): Promise<WanWatch> {
    const watch = new WanWatch(netnsOf(lab.name, 'rtr-a'));
    await watch.#nft(['-f', '-'], RULES);
    return watch;
  }

  async flows(): Promise<readonly WanFlow[]> {
    const { nftables } = JSON.parse(await this.#nft(['-j', 'list', 'set', 'ip', TABLE, 'pairs'])) as Listing;
    return nftables.flatMap(({ set }) =>
      (set?.elem ?? []).map(({ elem: { val, counter } }) => ({ from: val.concat[0], to: val.concat[1], ...counter })),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nft(['delete', 'table', 'ip', TABLE]);
  }

  async #nft(args: readonly string[], input?: string): Promise<string> {
    const command = ['netns', 'exec', this.#netns, 'nft', ...args];
    return (await run('ip', command, input === undefined ? {} : { input })).stdout;
  }
}
