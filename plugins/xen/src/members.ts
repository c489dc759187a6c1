/**
 * Which members of a pool are asked for the coordinator, and in which order. XAPI tells members by their addresses, the settings mostly by
 * their names: one machine is one member, asked once, and by the name that the settings give it, for which alone its certificate may be
 * valid. A name that leads to several addresses may be that of many machines, and is taken for none of them.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

export class Members {
  /** Most likely first. */
  #hosts: string[];
  /** Of the settings. */
  readonly #names: readonly string[];
  /** By address. */
  #nameOf: ReadonlyMap<string, string> = new Map();
  #lookingUp: Promise<void> | undefined;

  constructor(hosts: readonly string[]) {
    this.#hosts = [...new Set(hosts)];
    this.#names = this.#hosts.filter((host) => isIP(host) === 0);
  }

  get first(): string {
    return this.#hosts[0] ?? '';
  }

  /** The first that was not asked. */
  next(asked: ReadonlyMap<string, unknown>): string | undefined {
    return this.#hosts.find((host) => !asked.has(host));
  }

  /** As the settings call what XAPI has told by its address. */
  nameOf(host: string): string {
    return this.#nameOf.get(host) ?? host;
  }

  add(address: string): void {
    const host = this.nameOf(address);
    if (host !== '' && !this.#hosts.includes(host)) this.#hosts.push(host);
  }

  prefer(address: string): void {
    const host = this.nameOf(address);
    if (host !== '') this.#hosts = [host, ...this.#hosts.filter((other) => other !== host)];
  }

  putLast(host: string): void {
    this.#hosts = [...this.#hosts.filter((other) => other !== host), host];
  }

  /** Where the names lead now. One that cannot be looked up stays a name. One look at a time; never throws. */
  lookUp(): Promise<void> {
    this.#lookingUp ??= this.#lookUp().finally(() => {
      this.#lookingUp = undefined;
    });
    return this.#lookingUp;
  }

  async #lookUp(): Promise<void> {
    const found = await Promise.all(
      this.#names.map(async (name) => {
        const [one, ...more] = await lookup(name, { all: true }).catch(() => []);
        return one === undefined || more.length > 0 ? [] : [[one.address, name] as const];
      }),
    );
    this.#nameOf = new Map(found.flat());
    this.#hosts = [...new Set(this.#hosts.map((host) => this.nameOf(host)))];
  }
}
