// Writing into a running guest's memory from outside, through QEMU's gdb stub: how tests make sure that a guest whose memory is not what it
// left says so. A check that has never failed proves nothing.

import { once } from 'node:events';
import { connect } from 'node:net';

/** Writes `data` at a guest-physical address (the lab's guest runs without paging), and lets the guest run on. */
export async function pokePage(gdbSocket: string, address: number, data: Buffer): Promise<void> {
  const socket = connect(gdbSocket);
  await once(socket, 'connect');
  try {
    // Connecting stops the guest; `M address,length:hex` writes, `D` detaches and continues.
    await ask(socket, '?');
    const answer = await ask(socket, `M${address.toString(16)},${data.length.toString(16)}:${data.toString('hex')}`);
    if (!answer.includes('$OK#')) throw new Error(`the gdb stub refused to write: ${answer}`);
    await ask(socket, 'D');
  } finally {
    socket.destroy();
  }
}

async function ask(socket: ReturnType<typeof connect>, packet: string): Promise<string> {
  const sum = [...Buffer.from(packet)].reduce((total, byte) => (total + byte) & 0xff, 0);
  socket.write(`$${packet}#${sum.toString(16).padStart(2, '0')}`);
  let text = '';
  const signal = AbortSignal.timeout(5_000);
  while (!/\$[^#]*#../.test(text)) text += String((await once(socket, 'data', { signal }))[0]);
  socket.write('+');
  return text;
}
