/** QEMU's monitor: one command at a time, JSON by lines (QEMU, docs/interop/qmp-spec). Owns its connection, which `close` ends. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

interface Message {
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly event?: string;
}

export class Qmp {
  readonly #socket: Socket;
  readonly #answers: AsyncIterator<string>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#answers = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  static async open(path: string): Promise<Qmp> {
    const socket = connect(path);
    await once(socket, 'connect');
    const qmp = new Qmp(socket);
    await qmp.#answers.next(); // the greeting
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  async execute(command: string, args: object = {}): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    for (;;) {
      const { value, done } = await this.#answers.next();
      if (done) throw new Error(`QEMU has closed its monitor before it answered "${command}".`);
      const message = JSON.parse(value) as Message;
      if (message.error) throw new Error(`QEMU refused "${command}": ${message.error.desc}`);
      if (message.event === undefined) return message.return;
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
