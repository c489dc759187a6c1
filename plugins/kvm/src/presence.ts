/**
 * libvirt's domain states read as the contract's `Presence`. Pure.
 */
import type { Presence } from '@lmas/plugin-api';
import type { DomainState } from './client.ts';
import { PAUSED, STATE } from './rpc/constants.ts';

export type End = 'source' | 'destination';

/**
 * @param end decides what `paused (migration)` is: at the source a guest that has stopped with its whole memory, at the
 * destination a QEMU that waits for Finish. Until Finish has succeeded libvirt never lets that one run, and destroys it
 * together with the connection that prepared it.
 * @param id -1 when there is no process
 */
export function presenceOf({ state, reason }: DomainState, id: number, end: End): Presence {
  switch (state) {
    case STATE.running:
    case STATE.blocked:
    case STATE.shuttingDown:
      return 'running';
    case STATE.paused:
      if (reason === PAUSED.startingUp) return 'incoming';
      return reason === PAUSED.migration && end === 'destination' ? 'incoming' : 'paused';
    case STATE.shutOff:
      return 'stopped';
    default:
      // Crashed, suspended or nameless: with a process there is a memory that must not be lost, but nothing executes.
      return id >= 0 ? 'paused' : 'stopped';
  }
}
