/**
 * One host of the next-hop network, a process of its own: it serves and makes TCP connections on command, and says what it saw of them. Commands come
 * over Node's IPC. A connection begins with one letter that tells the server what to do:
 *
 *   E  answer, after the end of what comes, with who is seen at the other end and a hash of the bytes
 *   S  say the same at once, end this direction, and go on reading until the other one ends
 *   R  reset the connection
 *   W  answer "ok", and tell later how the connection ended
 */
import { createHash, randomBytes } from 'node:crypto';
import net from 'node:net';

export interface Seen {
  remote: string;
  local: string;
  bytes: number;
  sha1: string;
}
export interface Asked {
  local: string;
  sha1: string;
  /** What the server said, if it said anything. */
  answer: Seen | null;
  /** Code of the error that ended it. */
  error: string | null;
}
export type Command =
  | { op: 'listen'; port: number }
  | { op: 'ask'; from?: string; fromPort?: number; host: string; port: number; letter: 'E' | 'S' | 'R'; bytes: number }
  | { op: 'reset'; host: string; port: number }
  | { op: 'hold'; host: string; port: number }
  | { op: 'say'; bytes: number }
  | { op: 'endings' };

const endings: string[] = [];
let held: { socket: net.Socket; answer: Promise<Asked> } | null = null;

const name = (address: string | undefined, port: number | undefined) => `${address?.replace('::ffff:', '')} ${port}`;

function serve(socket: net.Socket): void {
  const hash = createHash('sha1');
  let [bytes, letter] = [0, ''];
  const seen = (): string => {
    const remote = name(socket.remoteAddress, socket.remotePort);
    return JSON.stringify({
      remote,
      local: name(socket.localAddress, socket.localPort),
      bytes,
      sha1: hash.copy().digest('hex'),
    });
  };
  socket.on('data', (chunk: Buffer) => {
    if (letter === '') letter = chunk.toString('latin1', 0, 1);
    hash.update(chunk);
    bytes += chunk.length;
    if (letter === 'R') socket.resetAndDestroy();
    if (letter === 'S' && !socket.writableEnded) socket.end(seen());
    if (letter === 'W') socket.write('ok');
  });
  socket.on('end', () => (letter === 'S' ? endings.push(`S end ${bytes}`) : socket.end(seen())));
  socket.on('error', (error: NodeJS.ErrnoException) => endings.push(`${letter} ${error.code}`));
}

function ask({ from, fromPort, host, port, letter, bytes }: Extract<Command, { op: 'ask' }>): Promise<Asked> {
  const { socket, answer } = open(host, port, { from, fromPort });
  socket.write(letter);
  // Server first: we end only when it has.
  if (letter === 'S') socket.once('end', () => socket.end(randomBytes(bytes)));
  else socket.end(randomBytes(bytes));
  return answer;
}

/** A connection, and what comes of it; `sha1` is over all that is written. */
function open(
  host: string,
  port: number,
  { from, fromPort }: { from?: string | undefined; fromPort?: number | undefined } = {},
): { socket: net.Socket; answer: Promise<Asked> } {
  const hash = createHash('sha1');
  const local = { ...(from === undefined ? {} : { localAddress: from }), ...(fromPort && { localPort: fromPort }) };
  const socket = net.connect({ host, port, allowHalfOpen: true, ...local });
  const write = socket.write.bind(socket) as (chunk: string | Buffer) => boolean;
  socket.write = ((chunk: string | Buffer) => {
    hash.update(chunk);
    return write(chunk);
  }) as typeof socket.write;
  const end = socket.end.bind(socket);
  socket.end = ((chunk?: Buffer) => {
    if (chunk !== undefined) socket.write(chunk);
    return end();
  }) as typeof socket.end;
  const answer = new Promise<Asked>((resolve) => {
    let [text, local] = ['', ''];
    let error: string | null = null;
    socket.on('connect', () => {
      local = name(socket.localAddress, socket.localPort);
    });
    socket.on('data', (chunk) => {
      text += String(chunk);
    });
    socket.on('error', (cause: NodeJS.ErrnoException) => {
      error = cause.code ?? cause.message;
    });
    socket.on('close', () => {
      const said = text.startsWith('{') ? (JSON.parse(text) as Seen) : null;
      resolve({ local, sha1: hash.digest('hex'), answer: said, error });
    });
  });
  return { socket, answer };
}

async function execute(command: Command): Promise<unknown> {
  if (command.op === 'listen') {
    const server = net.createServer({ allowHalfOpen: true }, serve);
    await new Promise<void>((resolve) => server.listen(command.port, '::', resolve));
    return null;
  }
  if (command.op === 'ask') return await ask(command);
  if (command.op === 'reset') {
    const { socket } = open(command.host, command.port);
    socket.write('W');
    await new Promise((resolve) => socket.once('data', resolve));
    socket.resetAndDestroy();
    return null;
  }
  if (command.op === 'hold') {
    held = open(command.host, command.port);
    held.socket.write('E');
    await new Promise((resolve) => held?.socket.once('connect', resolve));
    return null;
  }
  if (command.op === 'say') {
    if (held?.socket.destroyed === false) held.socket.end(randomBytes(command.bytes));
    return await held?.answer;
  }
  return endings;
}

process.on('message', (message) => {
  const { id, command } = message as { id: number; command: Command };
  void execute(command).then((result) => process.send?.({ id, result }));
});
process.on('disconnect', () => process.exit());
