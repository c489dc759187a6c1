/**
 * Every connection that the source of a migration opens, to where the receive map tells it to, and nowhere else; port 443 of the host part
 * where XAPI does so whatever the URL says. A storage service that sends it to another member is obeyed, as XAPI does.
 */
import { connect as connectPlain } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { expectOk, OK, type Sending, sendChecked } from './checked-stream.ts';
import { Fault } from './fault.ts';
import type { MemberSpec } from './model.ts';
import type { XapiPool } from './pool.ts';
import { parseHead, Wire } from './wire.ts';

export interface Disk {
  readonly ref: string;
  readonly bytes: number;
  readonly sr: string;
  readonly userdevice: string;
}

export class Route {
  readonly #map: Readonly<Record<string, string>>;
  readonly #member: MemberSpec | undefined;
  readonly #httpsOnly: boolean;

  /** @param from the member that sends */
  constructor(pool: XapiPool, from: string, map: Readonly<Record<string, string>>) {
    this.#map = map;
    const host = pool.database.need('host', from);
    this.#member = pool.members.find(({ name }) => name === host.name_label);
    this.#httpsOnly = pool.spec.httpsOnly ?? true;
  }

  /** XAPI takes the host of `master` and port 443, whatever else the URL says. */
  async api(method: string, params: readonly unknown[]): Promise<unknown> {
    const wire = await this.#open(hostOf(this.#map.master ?? ''), 443, true);
    try {
      const body = JSON.stringify({ jsonrpc: '2.0', method, params: [this.#map.session_id, ...params], id: 1 });
      const answer = JSON.parse(await exchange(wire, 'POST', '/jsonrpc', body)) as {
        result?: unknown;
        error?: { message: string; data: string[] };
      };
      if (answer.error) throw new Fault(answer.error.message, ...answer.error.data);
      return answer.result;
    } finally {
      wire.close();
    }
  }

  async importMetadata(what: object, dryRun: boolean): Promise<string> {
    const wire = await this.#open(hostOf(this.#map.xenops ?? ''), 443, true);
    try {
      const body = JSON.stringify(what);
      const path = `/import_metadata?session_id=${this.#map.session_id}&host=${this.#map.host}&dry_run=${dryRun}`;
      await wire.write(`PUT ${path} HTTP/1.0\r\nx-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      const head = (await wire.readHead()) ?? '';
      const length = Number(parseHead(head).headers.get('content-length') ?? 0);
      const text = (await wire.read(length)).toString();
      if (!head.includes(' 200 ')) throw new Fault('IMPORT_ERROR', text);
      return text;
    } finally {
      wire.close();
    }
  }

  async sendDisk({ ref, bytes, sr }: Disk, vm: string, sending: Sending): Promise<void> {
    const url = new URL(this.#map.SM ?? '');
    await this.#storageCall(url, sr);
    const wire = await this.#openUrl(url);
    try {
      await wire.write(`PUT ${url.pathname}/nbd/${vm}/${sr}/${ref}/dp${url.search} HTTP/1.0\r\n\r\n`);
      await sendChecked(wire, ref, bytes, sending);
    } finally {
      wire.close();
    }
  }

  async #storageCall(url: URL, sr: string): Promise<void> {
    const wire = await this.#openUrl(url);
    const body = `<methodCall><methodName>SR.scan</methodName><params>${sr}</params></methodCall>`;
    const answer = await exchange(wire, 'POST', `${url.pathname}${url.search}`, body, 'text/xml').finally(() =>
      wire.close(),
    );
    const elsewhere = /<redirect>([^<]+)<\/redirect>/.exec(answer)?.[1];
    if (elsewhere === undefined) return;
    const there = new URL(url);
    there.hostname = elsewhere;
    await this.#storageCall(there, sr);
  }

  /** Points: 1 ready, 1-mem, 2 memory complete, 3 the source gives the guest away, 4 it runs. */
  async sendMemory(bytes: number, vm: string, sending: Sending, giveAway: () => void): Promise<void> {
    const url = new URL(this.#map.xenops ?? '');
    const control = await this.#openUrl(url);
    const memory = await this.#openUrl(url);
    try {
      const put = (what: string) =>
        `PUT ${url.pathname}/migrate/${what}/${vm}${url.search} HTTP/1.1\r\ncookie: instance_id=0\r\n\r\n`;
      await control.write(put('vm'));
      await expectOk(control, 'point 1');
      await memory.write(put('mem'));
      await expectOk(memory, 'point 1-mem');
      await sendChecked(memory, vm, bytes, sending);
      await expectOk(control, 'point 2');
      sending.signal.throwIfAborted();
      giveAway();
      await control.write(OK);
      await expectOk(control, 'point 4');
    } finally {
      control.close();
      memory.close();
    }
  }

  #openUrl(url: URL): Promise<Wire> {
    const secure = this.#httpsOnly || url.protocol === 'https:';
    const port = url.port === '' || url.port === '80' ? (secure ? 443 : 80) : Number(url.port);
    return this.#open(url.hostname.replace(/^\[|\]$/g, ''), port, secure);
  }

  /** The member's address in the network that leads there: only what is in the management network is reached from it. */
  #addressTowards(host: string): string {
    if (this.#member === undefined) return '';
    const { management, migration } = this.#member;
    return networkOf(host) === networkOf(management) ? management : migration;
  }

  #open(host: string, port: number, secure: boolean): Promise<Wire> {
    const localAddress = this.#addressTowards(host);
    // Between pools XAPI verifies no certificate: the bytes are for whoever the map names.
    const plain = connectPlain({ host, port, localAddress });
    const socket = secure ? connectTls({ socket: plain, rejectUnauthorized: false }) : plain;
    plain.on('error', (error) => socket.destroy(error));
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        socket.destroy();
        reject(new Fault('CANNOT_CONTACT_HOST', `${host}: ${error.message}`));
      };
      socket.once('error', fail);
      socket.setTimeout(20_000, () => fail(new Error('no answer')));
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        socket.off('error', fail);
        socket.setTimeout(0);
        resolve(new Wire(socket));
      });
    });
  }
}

/** The first 26 bits, as the members' netmask says. */
const networkOf = (address: string): string =>
  address.replace(/\d+$/, (last) => String(Number(last) - (Number(last) % 64)));

const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '');

async function exchange(
  wire: Wire,
  method: string,
  path: string,
  body: string,
  type = 'application/json',
): Promise<string> {
  await wire.write(
    `${method} ${path} HTTP/1.1\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  const head = (await wire.readHead()) ?? '';
  const answer = (await wire.read(Number(parseHead(head).headers.get('content-length') ?? 0))).toString();
  if (!head.includes(' 200 ')) throw new Error(`${path}: ${head.split('\r\n')[0]}`);
  return answer;
}
