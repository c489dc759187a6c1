/**
 * Loaded before a program that bound-child.mjs has started: sends it SIGTERM, as a person would, once the process that started
 * it is gone. It keeps nothing alive, and is nothing to whatever the program starts.
 */
import { Socket } from 'node:net';
import process from 'node:process';

const fd = Number(process.env.LMAS_PARENT_FD);
delete process.env.LMAS_PARENT_FD;
if (Number.isInteger(fd) && fd > 2) {
  const parent = new Socket({ fd, readable: true, writable: false });
  parent.on('error', () => {}); // it is closed then, too
  parent.on('close', () => process.kill(process.pid, 'SIGTERM'));
  parent.resume();
  parent.unref();
}
