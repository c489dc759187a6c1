// Writing into a running guest's memory from outside, through QEMU's gdb stub: how tests make sure that a guest whose memory is not what it
// left says so. A check that has never failed proves nothing.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** Writes `data` at a guest-physical address (the lab's guest runs without paging), and lets the guest run on. */
export async function pokePage(gdbSocket: string, address: number, data: Buffer): Promise<void> {
  const socket = connect(gdbSocket);
  await once(socket, 'connect');
  try {
    // Connecting stops the guest, which the stub may report by itself at any time; `M address,length:hex` writes, `D` lets it run on.
    await ask(socket, `M${address.toString(16)},${data.length.toString(16)}:${data.toString('hex')}`);
    await ask(socket, 'D');
  } finally {
    socket.destroy();
  }
}

/**
 * Sends a packet and waits for the stub's OK; stop reports in between are acknowledged and passed over. Each packet once, and nothing else:
 * a guest that runs on is stopped by whatever the stub hears without having asked (QEMU's gdbstub.c, gdb_read_byte).
 */
async function ask(socket: Socket, packet: string): Promise<void> {
  const sum = [...Buffer.from(packet)].reduce((total, byte) => (total + byte) & 0xff, 0);
  socket.write(`$${packet}#${sum.toString(16).padStart(2, '0')}`);
  const signal = AbortSignal.timeout(5_000);
  let acknowledged = 0;
  for (let text = ''; !/\$OK#../.test(text); ) {
    text += String((await once(socket, 'data', { signal }))[0]);
    if (/\$E[^#]*#../.test(text)) throw new Error(`the gdb stub refused ${packet}: ${text}`);
    const packets = text.match(/\$[^#]*#../g)?.length ?? 0;
    if (packets > acknowledged) socket.write('+'.repeat(packets - acknowledged));
    acknowledged = packets;
  }
}
