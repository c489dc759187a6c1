/** Sessions: who is logged in, and what each has open (collectors, views). They end by Logout, on command, or with the endpoint. */
import { randomBytes, randomUUID } from 'node:crypto';
import { VimFault } from './fault.ts';
import { Collector } from './inventory/collector.ts';
import type { Objects } from './inventory/objects.ts';
import { type DataObject, type MoRef, moRef } from './schema/value.ts';
import { now } from './tasks.ts';

export interface Session {
  /** The secret: cookie or header. */
  readonly id: string;
  readonly userName: string;
  readonly user: DataObject;
  readonly collectors: Map<string, Collector>;
  readonly views: Set<string>;
}

export const notAuthenticated = (target: MoRef): VimFault =>
  new VimFault('NotAuthenticated', { object: target, privilegeId: 'System.View' }, 'The session is not authenticated.');

export class Sessions {
  readonly #objects: Objects;
  readonly #byId = new Map<string, Session>();
  readonly #lastCalls = new WeakMap<Session, number>();
  /** One that is idle for longer ends; a real vCenter's is half an hour. */
  idleLimitMs = Number.POSITIVE_INFINITY;

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  get size(): number {
    return this.#byId.size;
  }

  open(userName: string, locale = 'en'): Session {
    const time = now();
    const user: DataObject = {
      ...{ key: randomUUID(), userName, fullName: userName, loginTime: time, lastActiveTime: time },
      ...{ locale, messageLocale: 'en', extensionSession: false },
    };
    const session: Session = {
      ...{ id: randomBytes(20).toString('hex'), userName, user },
      ...{ collectors: new Map(), views: new Set<string>() },
    };
    const main = moRef('PropertyCollector', 'propertyCollector');
    session.collectors.set(main.value, new Collector(this.#objects, main));
    this.#byId.set(session.id, session);
    return session;
  }

  /** For a call that has come: it is not idle then. */
  find(id: string | undefined): Session | undefined {
    const session = id === undefined ? undefined : this.#byId.get(id);
    if (session === undefined) return undefined;
    const idleMs = performance.now() - (this.#lastCalls.get(session) ?? performance.now());
    this.#lastCalls.set(session, performance.now());
    if (idleMs <= this.idleLimitMs) return session;
    this.end(session);
    return undefined;
  }

  byKey(key: string): Session | undefined {
    return [...this.#byId.values()].find(({ user }) => user.key === key);
  }

  end(session: Session): void {
    this.#byId.delete(session.id);
    for (const view of session.views) this.#objects.remove(moRef('ContainerView', view));
    const target = moRef('PropertyCollector', 'propertyCollector');
    for (const collector of session.collectors.values()) collector.close(notAuthenticated(target));
  }

  /** Whoever calls next is not logged in any more. */
  endAll(): void {
    for (const session of [...this.#byId.values()]) this.end(session);
  }
}
