/** All hosts, and the witness of what must never happen between them. */
import { STATE } from '../../rpc/constants.ts';
import { FakeHost } from './host.ts';

export class FakeWorld {
  readonly violations: string[] = [];
  readonly hosts: FakeHost[] = [];
  /** The youngest moment of each guest's life that has run anywhere. */
  readonly #lives = new Map<string, number>();

  addHost(name: string, files: string): FakeHost {
    const host = new FakeHost(this, name, files);
    this.hosts.push(host);
    return host;
  }

  hostOf(address: string): FakeHost | undefined {
    return this.hosts.find((host) => host.address === address);
  }

  /** Called after every change of a state. */
  witness(uuid: string): void {
    const running = this.hosts.filter((host) => host.guests.get(uuid)?.state === STATE.running);
    if (running.length > 1) this.violations.push(`${running.length} copies of ${uuid} run`);
    for (const host of running) {
      const life = host.guests.get(uuid)?.life ?? 0;
      const youngest = this.#lives.get(uuid) ?? 0;
      if (life < youngest) this.violations.push(`${host.name} resumed a copy of ${uuid} that was overtaken`);
      this.#lives.set(uuid, Math.max(life, youngest));
    }
  }

  /** Where it runs now. */
  running(uuid: string): string[] {
    return this.hosts.filter((host) => host.guests.get(uuid)?.state === STATE.running).map(({ name }) => name);
  }
}
