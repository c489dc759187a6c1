/**
 * Scripted libvirt daemons for tests: two hosts that speak the real RPC over in-memory streams and migrate imaginary
 * guests between them, with libvirt's rules about who owns what:
 *
 * - the job at the source belongs to the connection of Begin; when that is lost before Perform the job is dropped, during
 *   Perform nothing happens, after it the job is dropped and the guest stays paused;
 * - the incoming guest belongs to the connection of Prepare and is destroyed with it, until Finish has begun;
 * - Finish defines the guest before it starts it; where that fails, QEMU is ended (shut off: failed) and the definition stays;
 * - a Perform whose destination is gone fails, and the guest runs on at the source;
 * - peer to peer, the source resumes its guest when no reply to Finish comes, whatever the destination did;
 * - in post-copy a Perform that fails leaves both copies where they are, and only POSTCOPY_RESUME takes it up again.
 *
 * `on` scripts a procedure: hold it, refuse it, or lose its reply after its effect. The world keeps count: `violations` lists
 * every instant at which two copies ran, every resumption of a copy that another one had overtaken, and every copy that was
 * destroyed while the other one needed its memory.
 */
export type { Script } from './connection.ts';
export { FakeHost } from './host.ts';
export type { PerformControl } from './migrations.ts';
export { Refusal } from './refusal.ts';
export { FakeWorld } from './world.ts';
