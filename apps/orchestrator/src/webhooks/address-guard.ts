/**
 * Where webhooks may be sent, and plans may look: only to public addresses, and to the networks that the operator allows. A name is resolved
 * here, once; the caller connects to the address that was checked and to no other, so a name that changes its mind
 * between the check and the connection gains nothing. A refusal does not tell what number a name has: some are known only inside.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { LmasError, type OrchestratorErrorCode } from '../errors.ts';

type Address = ReturnType<typeof ipaddr.process>;
/** An allowed network, parsed. */
export type Network = ReturnType<typeof ipaddr.parseCIDR>;

export interface AddressGuard {
  /**
   * @returns an address of the URL's host, as it may be connected to
   * @throws LmasError of the guard's two codes: the address is refused, the name cannot be resolved
   */
  check(url: URL): Promise<string>;
  /** The part of the check that needs no resolver: for a URL that is about to be stored. @throws LmasError when it is refused */
  checkLiteral(url: URL): void;
}

/** What a guard says when it refuses. */
export interface Refusal {
  readonly refused: OrchestratorErrorCode;
  readonly notResolved: OrchestratorErrorCode;
  /** The setting that allows more. */
  readonly setting: string;
}
const WEBHOOK_REFUSAL: Refusal = {
  refused: 'WEBHOOK_ADDRESS_REFUSED',
  notResolved: 'WEBHOOK_NAME_NOT_RESOLVED',
  setting: 'LMAS_WEBHOOK_ALLOW',
};

/** Public by its number, and yet the cloud's own: the wire server of Azure, which hands out credentials. */
const CLOUD_SERVICES: readonly string[] = ['168.63.129.16'];

export type Resolve = (host: string) => Promise<readonly string[]>;

const resolveBySystem: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address);

export function createAddressGuard(
  allowed: readonly Network[],
  resolve: Resolve = resolveBySystem,
  refusal: Refusal = WEBHOOK_REFUSAL,
): AddressGuard {
  const refused = (why: string, address: string): LmasError =>
    new LmasError(refusal.refused, `Nothing is sent there: ${why}.`, {
      cause: new Error(`the address is ${address}`), // for logs
      remedy: `Allow its network with ${refusal.setting} if it is yours.`,
    });
  const isAllowed = (address: Address): boolean =>
    allowed.some((network) => network[0].kind() === address.kind() && address.match(network));
  const requireFit = (url: URL, text: string): string => {
    const [host, address] = [bareHost(url), ipaddr.process(text)];
    if (isAllowed(address)) return address.toString();
    if (address.range() !== 'unicast' || CLOUD_SERVICES.includes(address.toString())) {
      const what = isIP(host) === 0 ? 'has an address that is not public' : 'is not a public address';
      throw refused(`${host} ${what}`, text);
    }
    if (url.protocol !== 'https:')
      throw refused(`${url.protocol}// to ${host} would cross the network in the clear`, text);
    return address.toString();
  };

  return {
    checkLiteral(url) {
      const host = bareHost(url);
      if (isIP(host) !== 0) requireFit(url, host);
    },
    async check(url) {
      const host = bareHost(url);
      const addresses = isIP(host) === 0 ? await resolveOrThrow(resolve, host, refusal) : [host];
      // One unfit address refuses the name: which one is used is then never a matter of luck.
      const [first] = addresses.map((address) => requireFit(url, address));
      if (first === undefined) throw new LmasError(refusal.notResolved, `${host} has no address.`);
      return first;
    },
  };
}

/** @throws for what is no network in CIDR notation */
export const parseNetwork = (text: string): Network =>
  text.includes('/') ? ipaddr.parseCIDR(text) : [ipaddr.process(text), isIP(text) === 4 ? 32 : 128];

const bareHost = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '');

async function resolveOrThrow(resolve: Resolve, host: string, { notResolved }: Refusal): Promise<readonly string[]> {
  try {
    return await resolve(host);
  } catch (cause) {
    throw new LmasError(notResolved, `${host} cannot be resolved.`, { cause });
  }
}
