/** A host in a process of its own, for the vCenter that has it. */
import { command } from '../control.ts';
import type { HostAgent } from './agent.ts';

export function remoteHost(socketPath: string): HostAgent {
  const ask =
    <Name extends keyof HostAgent>(name: Name) =>
    (...args: Parameters<HostAgent[Name]>) =>
      command(socketPath, name, args) as ReturnType<HostAgent[Name]>;
  return {
    ...{
      state: ask('state'),
      expect: ask('expect'),
      forget: ask('forget'),
      begin: ask('begin'),
      status: ask('status'),
    },
    ...{ cancel: ask('cancel'), resume: ask('resume'), settle: ask('settle'), setStack: ask('setStack') },
    update: ask('update'),
  };
}
