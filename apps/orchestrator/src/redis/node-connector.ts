/**
 * How a plain connection finds a server of a cluster: the next one, each time that it has to connect. It owns nothing: its
 * sockets are ended by the connection that it is made for.
 */
import { randomInt } from 'node:crypto';
import { createConnection, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector } from 'ioredis';
import type { RedisNode } from './address.ts';

export interface NodeConnector {
  /** For the option of that name of one connection. */
  readonly Connector: new () => AbstractConnector;
  /** Where it has connected to last. */
  current(): RedisNode | undefined;
}

/** How long a socket that was ended may take to close. */
const END_LIMIT_MS = 2_000;

/** @param nodesOf the cluster's servers as they are known when it connects; one at least */
export function nodeConnector(nodesOf: () => readonly RedisNode[], tls: boolean): NodeConnector {
  let turn = randomInt(1_000); // many processes share the servers
  let current: RedisNode | undefined;
  class Connector extends AbstractConnector {
    constructor() {
      super(END_LIMIT_MS);
    }

    async connect(): Promise<Socket> {
      this.connecting = true;
      const nodes = nodesOf();
      turn += 1;
      current = nodes[turn % nodes.length];
      const { host, port } = current ?? {};
      if (port === undefined) throw new TypeError('a cluster without a server');
      this.stream = tls ? connectTls({ host, port }) : createConnection({ host, port });
      this.stream.once('error', (error) => {
        this.firstError = error;
      });
      return this.stream;
    }
  }
  return { Connector, current: () => current };
}
