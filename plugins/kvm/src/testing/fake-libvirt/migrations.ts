/**
 * The migrations of the guests of one host, by libvirt's rules about what becomes of either copy (index.ts has them in words).
 */
import { ERROR, MIGRATE, PAUSED, RUNNING, SHUTOFF, STATE } from '../../rpc/constants.ts';
import type { ArgsOf, Domain } from '../../rpc/procedures.ts';
import { stringOf } from '../../rpc/typed-params.ts';
import type { FakeConnection } from './connection.ts';
import { domainOf, type Guest } from './guest.ts';
import type { FakeHost } from './host.ts';
import { Refusal } from './refusal.ts';

export interface PerformControl {
  finish(): void;
  fail(refusal: Refusal): void;
  /** Peer to peer, in post-copy: the daemons lose each other, and QEMU goes on by itself. `finish` and `fail` still work. */
  loseControl(): void;
}

class ControlLost extends Error {}

export class FakeMigrations {
  readonly #host: FakeHost;
  /** Resolves the Perform that is under way. */
  #performing: PerformControl | undefined;

  constructor(host: FakeHost) {
    this.#host = host;
  }

  /** Ends the Perform that is under way, if there is one. */
  abort(): void {
    this.#performing?.fail(new Refusal(ERROR.OPERATION_ABORTED, 'operation aborted: canceled by client'));
  }

  prepareIncoming(uuid: string, name: string, owner: FakeConnection): Guest {
    const guest: Guest = {
      ...{ name, uuid, id: this.#host.nextId(), state: STATE.paused, reason: PAUSED.migration },
      ...{ persistent: false, autostart: false, job: { kind: 'in', owner, phase: 'begun' } as const },
      ...{ foreignJob: null, checkpoints: 0, backup: null, xml: null, dirtyRate: null, postCopy: false, life: -1 },
      ...{ hasManagedSave: false },
    };
    this.#host.guests.set(uuid, guest);
    if (!owner.open) this.#host.destroyLater(guest);
    return guest;
  }

  async perform(args: ArgsOf<'domainMigratePerform3Params'>, owner: FakeConnection): Promise<{ cookie: Buffer }> {
    const guest = this.#host.guestOf(args.domain);
    const peerToPeer = (args.flags & MIGRATE.peerToPeer) !== 0;
    const host = /tcp:\/\/([0-9.]+):/.exec(stringOf(args.params, 'migrate_uri') ?? '')?.[1] ?? '';
    const destination = this.#host.world.hostOf(host);
    if (destination === undefined) throw new Refusal(ERROR.SYSTEM_ERROR, 'unable to connect to server');
    if ((args.flags & MIGRATE.postCopyResume) !== 0) return this.#resumePostCopy(guest, destination, args.flags);
    if (peerToPeer) {
      guest.job = { kind: 'out', owner, phase: 'performing' };
      destination.migrations.prepareIncoming(guest.uuid, guest.name, owner);
    }
    if (guest.job === null) throw new Refusal(ERROR.OPERATION_INVALID, 'no migration has begun');
    guest.job.phase = 'performing';
    await this.#dataFlows(guest, destination, args.flags, (control) => this.#host.onPerform(control));
    try {
      const incoming = destination.guests.get(guest.uuid);
      if (incoming?.job?.kind !== 'in')
        throw new Refusal(ERROR.OPERATION_FAILED, 'lost connection to destination host');
      if (!guest.postCopy) {
        this.#host.set(guest, STATE.paused, PAUSED.migration);
        guest.life += 1;
        incoming.life = guest.life + 1;
      }
    } catch (error) {
      this.#performFailed(guest, destination, peerToPeer);
      throw error;
    }
    if (peerToPeer) this.#arrived(guest, destination, args.flags);
    else if (guest.job !== null) {
      guest.job.phase = 'performed';
      if (!owner.open) guest.job = null;
    }
    return { cookie: Buffer.from(`${guest.uuid}\0`) };
  }

  async #dataFlows(
    guest: Guest,
    destination: FakeHost,
    flags: number,
    script: (control: PerformControl) => void,
  ): Promise<void> {
    let attended = true;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#performing = {
          finish: () => (attended ? resolve() : this.#arrived(guest, destination, flags)),
          fail: (refusal) => (attended ? reject(refusal) : this.#performFailed(guest, destination, true)),
          loseControl: () => {
            attended = false;
            reject(new ControlLost());
          },
        };
        script(this.#performing);
      });
    } catch (error) {
      if (error instanceof ControlLost) {
        this.#host.set(guest, STATE.paused, PAUSED.postCopyFailed);
        throw new Refusal(ERROR.INTERNAL_ERROR, 'client socket is closed');
      }
      this.#performFailed(guest, destination, (flags & MIGRATE.peerToPeer) !== 0);
      throw error;
    } finally {
      this.#performing = undefined;
    }
  }

  /** libvirt resumes the guest itself and ends the job; peer to peer it also clears the destination. Not in post-copy. */
  #performFailed(guest: Guest, destination: FakeHost, peerToPeer: boolean): void {
    const incoming = destination.guests.get(guest.uuid);
    if (guest.postCopy) {
      this.setPostCopy(guest, incoming === undefined ? undefined : { host: destination, guest: incoming }, 'broken');
      return;
    }
    guest.job = null;
    if (peerToPeer && incoming?.job?.kind === 'in') destination.stop(incoming, SHUTOFF.failed);
    if (guest.state === STATE.paused) this.#host.set(guest, STATE.running, RUNNING.migrationCanceled);
  }

  /** Peer to peer Finish and Confirm follow at once. */
  #arrived(guest: Guest, destination: FakeHost, flags: number): void {
    const incoming = destination.guests.get(guest.uuid);
    const { postCopy } = guest;
    guest.postCopy = false;
    guest.job = null;
    if (incoming !== undefined) {
      incoming.postCopy = false;
      try {
        destination.migrations.finish(incoming, flags, false);
      } catch (error) {
        this.#host.set(guest, STATE.running, RUNNING.migrationCanceled);
        throw error;
      }
    }
    if (this.#host.losesFinishReply && !postCopy) {
      // Confirm with "cancelled", as libvirt does whenever Finish brought no domain back.
      this.#host.losesFinishReply = false;
      this.#host.set(guest, STATE.running, RUNNING.migrationCanceled);
      throw new Refusal(ERROR.OPERATION_FAILED, 'client socket is closed');
    }
    this.#host.stop(guest, SHUTOFF.migrated);
  }

  async #resumePostCopy(guest: Guest, destination: FakeHost, flags: number): Promise<{ cookie: Buffer }> {
    const incoming = destination.guests.get(guest.uuid);
    if (destination.isDown) throw new Refusal(ERROR.SYSTEM_ERROR, 'unable to connect to server');
    if (guest.job?.phase !== 'broken' || incoming?.job?.phase !== 'broken') {
      throw new Refusal(ERROR.OPERATION_INVALID, 'the post-copy migration has not failed');
    }
    this.setPostCopy(guest, { host: destination, guest: incoming }, 'under-way');
    await this.#dataFlows(guest, destination, flags, (control) => this.#host.onResume(control));
    this.#arrived(guest, destination, flags);
    return { cookie: Buffer.alloc(0) };
  }

  setPostCopy(guest: Guest, peer: { host: FakeHost; guest: Guest } | undefined, how: 'under-way' | 'broken'): void {
    const broken = how === 'broken';
    for (const one of [guest, peer?.guest]) {
      if (one === undefined) continue;
      one.postCopy = true;
      if (one.job !== null) one.job.phase = broken ? 'broken' : 'performing';
    }
    this.#host.set(guest, STATE.paused, broken ? PAUSED.postCopyFailed : PAUSED.postCopy);
    if (peer !== undefined) {
      peer.host.set(peer.guest, STATE.running, broken ? RUNNING.postCopyFailed : RUNNING.postCopy);
    }
  }

  /** The copy at the other host. */
  peerOf({ uuid }: Guest): { host: FakeHost; guest: Guest } | undefined {
    const host = this.#host.world.hosts.find((other) => other !== this.#host && other.guests.has(uuid));
    const guest = host?.guests.get(uuid);
    return host === undefined || guest === undefined ? undefined : { host, guest };
  }

  finish(guest: Guest, flags: number, cancelled: boolean): { domain: Domain; cookie: Buffer } {
    if (cancelled || guest.life < 0) {
      this.#host.stop(guest, SHUTOFF.failed);
      throw new Refusal(ERROR.MIGRATE_FINISH_OK, 'migration successfully aborted');
    }
    guest.job = null;
    if ((flags & MIGRATE.persistDestination) !== 0) guest.persistent = true;
    if (this.#host.failsToStart) {
      this.#host.failsToStart = false;
      this.#host.stop(guest, SHUTOFF.failed);
      throw new Refusal(ERROR.INTERNAL_ERROR, 'unable to execute QEMU command \'cont\': Failed to get "write" lock');
    }
    this.#host.set(guest, STATE.running, RUNNING.migrated);
    return { domain: domainOf(guest), cookie: Buffer.alloc(0) };
  }
}
