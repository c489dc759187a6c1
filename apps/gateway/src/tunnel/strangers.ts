/**
 * The connections that wait to be authenticated. They are few, and a newcomer is never turned away for those that were there before: the
 * remote address that holds most of them gives one up, first one that has said nothing yet, and of those the oldest. So an address that
 * floods the port takes places from itself, and whoever sits silent gives way to a peer that talks at once, even from the same address.
 * A limit for each address would not do: the true peer opens its control channel and up to 64 subflows at the same time from one.
 */
import type net from 'node:net';

/** Connections that may wait to be authenticated at once. */
export const maxStrangers = 64;

export interface Stranger {
  readonly socket: net.Socket;
  readonly address: string;
  /** Whether its preamble has come. */
  spoke: boolean;
  /** Whether it had to give way. */
  displaced: boolean;
}

export class Strangers {
  /** In the order of their arrival. */
  readonly #waiting = new Set<Stranger>();

  /** Takes a newcomer in; what had to give way for it is destroyed. */
  add(socket: net.Socket): Stranger {
    const stranger = { socket, address: networkOf(socket.remoteAddress ?? ''), spoke: false, displaced: false };
    this.#waiting.add(stranger);
    if (this.#waiting.size > maxStrangers) this.#displaceOne(stranger);
    return stranger;
  }

  delete(stranger: Stranger): void {
    this.#waiting.delete(stranger);
  }

  destroyAll(): void {
    for (const { socket } of this.#waiting) socket.destroy();
  }

  #displaceOne(newcomer: Stranger): void {
    const held = new Map<string, number>();
    for (const { address } of this.#waiting) held.set(address, (held.get(address) ?? 0) + 1);
    const rank = ({ address, spoke }: Stranger) => 2 * (held.get(address) ?? 0) + (spoke ? 0 : 1);
    let chosen: Stranger | null = null;
    for (const stranger of this.#waiting) {
      if (stranger === newcomer) continue;
      if (chosen === null || rank(stranger) > rank(chosen)) chosen = stranger;
    }
    if (chosen === null) return;
    this.#waiting.delete(chosen);
    chosen.displaced = true;
    chosen.socket.destroy();
  }
}

/** An IPv6 network of 64 bits is one place: whoever has an address there has them all. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address;
  const [head = ''] = address.split('::');
  return head.split(':').slice(0, 4).join(':');
}
