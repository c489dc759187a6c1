/**
 * Each window of xl's handshake: the link is lost in it, xl is killed in it at either host, the orchestrator is killed in it.
 * Afterwards a new run that remembers nothing brings it to an end; one copy runs, it never ran twice, and neither a half-named domain
 * nor a file is left.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { DOM0_SSHD, xlMissing } from '../compliance/xl-world.ts';
import type { Fault, Point } from '../lab/xl/host.ts';
import { type End, Play, silent } from './xl-play.ts';

type Armed = readonly [end: End, point: Point, fault: Fault];
type Case = readonly [
  what: string,
  armed: readonly Armed[],
  at: readonly [End, Point] | null,
  act: (play: Play) => void,
  expected: End,
];

const cut = ({ gateways }: Play): void => gateways.cut();
const kill = ({ world }: Play): void => world.killOrchestrator();
const nothing = silent;

/** The fault at the first point holds everybody there until `act` was called. */
const cases: readonly Case[] = [
  ['the link is lost while memory moves', [['source', 'half-sent', 'hang']], ['source', 'half-sent'], cut, 'source'],
  ['the link is lost with all sent', [['source', 'all-sent', 'hang']], ['destination', 'received'], cut, 'source'],
  ['the link is lost before it is given', [['source', 'given-name', 'hang']], ['source', 'given-name'], cut, 'source'],
  [
    'the link is lost after it was given, and before it runs',
    [['destination', 'permitted', 'hang']],
    ['destination', 'permitted'],
    cut,
    'destination',
  ],
  [
    'the link is lost after it runs, with the report',
    [['destination', 'started', 'hang']],
    ['destination', 'started'],
    cut,
    'destination',
  ],
  ['the destination cannot start it', [['destination', 'permitted', 'fail']], null, nothing, 'source'],
  ['the receiver is killed as it is made', [['destination', 'created', 'die']], null, nothing, 'source'],
  ['the receiver is killed with all received', [['destination', 'received', 'die']], null, nothing, 'source'],
  ['the receiver is killed with the permission', [['destination', 'permitted', 'die']], null, nothing, 'source'],
  ['the receiver is killed before it lets it go', [['destination', 'renamed', 'die']], null, nothing, 'destination'],
  ['the receiver is killed before the report', [['destination', 'started', 'die']], null, nothing, 'destination'],
  ['the sender is killed while memory moves', [['source', 'half-sent', 'die']], null, nothing, 'source'],
  ['the sender is killed with all sent', [['source', 'all-sent', 'die']], null, nothing, 'source'],
  ['the sender is killed before it gives it away', [['source', 'given-name', 'die']], null, nothing, 'source'],
  ['the sender is killed before it destroys its copy', [['source', 'reported', 'die']], null, nothing, 'destination'],
  [
    'the orchestrator is killed while memory moves',
    [['source', 'half-sent', 'hang']],
    ['source', 'half-sent'],
    kill,
    'destination',
  ],
  [
    'the orchestrator is killed before it is given',
    [['source', 'given-name', 'hang']],
    ['source', 'given-name'],
    kill,
    'destination',
  ],
  [
    'the orchestrator is killed as it starts there',
    [['destination', 'permitted', 'hang']],
    ['destination', 'permitted'],
    kill,
    'destination',
  ],
];

describe('the windows of xl', { skip: xlMissing(), timeout: 300_000 }, () => {
  let sshd: TestSshd;
  before(async () => {
    sshd = await startSshd(DOM0_SSHD);
  });
  after(() => sshd[Symbol.asyncDispose]());

  for (const [what, armed, at, act, expected] of cases) {
    test(`${what}: it runs at the ${expected}`, async () => {
      await using play = await Play.make(sshd);
      for (const [end, point, fault] of armed) play.hostOf(end).host.arm(point, fault);
      const { performing } = await play.begin();
      if (at !== null) {
        await play.stands(...at);
        act(play);
        for (const [end, point] of armed) play.hostOf(end).host.disarm(point);
      }
      await performing;
      assert.equal(await play.recover(), expected);
      play.assertTidyAt(expected);
    });
  }

  test('the permission itself is lost on the way: the copy that came never ran, and the source goes on', async () => {
    await using play = await Play.make(sshd);
    const { source } = play.world;
    for (const point of ['given-name', 'given'] as const) source.host.arm(point, 'hang');
    const { performing } = await play.begin();
    await play.stands('source', 'given-name');
    play.gateways.stall(); // what is sent from here on arrives nowhere
    source.host.disarm('given-name');
    await play.stands('source', 'given');
    play.gateways.cut();
    source.host.disarm('given');
    await performing;
    assert.equal(await play.recover(), 'source');
    play.assertTidyAt('source');
  });

  test('a destination that rebooted after it may have run there: nothing is resumed, a person has to look', async () => {
    await using play = await Play.make(sshd);
    const { source, destination } = play.world;
    source.host.arm('given', 'hang');
    destination.host.arm('started', 'die');
    const { performing } = await play.begin();
    await play.stands('destination', 'started');
    for (const { domid } of destination.host.domains()) await destination.host.remove(domid);
    rmSync(destination.config.runDirectory, { recursive: true }); // memory forgets
    source.host.disarm('given');
    await performing;
    const driver = await play.driver();
    assert.deepEqual(await driver.abort({ signal: play.signal }), {
      ...{ source: 'paused', destination: 'absent', where: 'unknown', moving: false },
    });
    await assert.rejects(driver.confirm(play.prepared, { signal: play.signal }), { code: 'OUTCOME_UNKNOWN' });
    assert.deepEqual(play.world.runningCopies(), { source: false, destination: false });
  });

  test('an xl that cannot resume: the guest stands still at the source, and that is said', async () => {
    await using play = await Play.make(sshd, { cannotResume: true });
    const { source } = play.world;
    source.host.arm('given-name', 'die');
    const { performing } = await play.begin();
    await performing;
    const driver = await play.driver();
    const { source: seen, where } = await driver.abort({ signal: play.signal });
    assert.deepEqual([seen, where], ['paused', 'source']);
    const { findings } = await driver.check({ signal: play.signal });
    assert.ok(findings.some(({ code }) => code === 'CANNOT_RESUME'));
  });
});
