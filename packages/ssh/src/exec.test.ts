import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import type { ClientChannel } from 'ssh2';
import { runOnChannel } from './exec.ts';

const open = new AbortController().signal;
const signal = AbortSignal.timeout(10_000);

/** A channel on which the server said everything in one packet: `exit` is over before anybody can listen. */
function hastyChannel(): PassThrough {
  const channel = new PassThrough({ emitClose: false });
  Object.assign(channel, { stderr: new PassThrough(), signal: () => undefined, close: () => undefined });
  channel.emit('exit', 0);
  return channel;
}

test('an exit status that came before we could listen is not lost', async () => {
  const channel = hastyChannel();
  channel.write('done');
  const result = runOnChannel(channel as unknown as ClientChannel, 'x', { signal }, open);
  channel.once('end', () => channel.emit('close', 0));
  assert.deepEqual([(await result).exitCode, (await result).stdout.toString()], [0, 'done']);
});

test('output is told as it comes, and is in the result all the same', async () => {
  const channel = hastyChannel();
  // The end of the input is not that of the output.
  const endOutput = channel.end.bind(channel);
  channel.end = () => channel;
  const told: string[] = [];
  const onStdout = (chunk: Buffer): number => told.push(chunk.toString());
  const result = runOnChannel(channel as unknown as ClientChannel, 'x', { signal, onStdout }, open);
  channel.write('10 %');
  while (told.length === 0) await new Promise((resolve) => setImmediate(resolve));
  channel.once('end', () => channel.emit('close', 0));
  endOutput('20 %');
  assert.equal((await result).stdout.toString(), '10 %20 %');
  assert.equal(told.join(''), '10 %20 %');
});

test('a signal is told, and a channel that closes without either is an unknown outcome', async () => {
  const killed = hastyChannel();
  const killing = runOnChannel(killed as unknown as ClientChannel, 'x', { signal }, open);
  killed.once('end', () => killed.emit('close', null, 'SIGKILL'));
  assert.deepEqual([(await killing).exitCode, (await killing).signal], [null, 'SIGKILL']);
  const silent = hastyChannel();
  const waiting = runOnChannel(silent as unknown as ClientChannel, 'x', { signal }, open);
  silent.once('end', () => silent.emit('close', undefined));
  await assert.rejects(waiting, { code: 'CONNECTION_LOST' });
});
