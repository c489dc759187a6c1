/**
 * The Dockerfile, step by step, on a Debian with nothing in it: its packages are to be had and enough, the user is the one that Compose and
 * Helm count on, and the orchestrator that it starts is found healthy by the probe that Compose asks. No engine builds it.
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { z } from 'zod';
import { buildDeb } from '../../deploy/debian/build.ts';
import { DebianMachine } from '../e2e/debian-machine.ts';
import { runStep, stagesOf, tryService } from './image.ts';

const skip = process.getuid?.() === 0 ? false : 'a root of one’s own needs root';
const read = (file: string): string => readFileSync(path.join(import.meta.dirname, '../../deploy', file), 'utf8');
const SLOW = { timeout: 120_000 };
const MOUNT = /^--mount=type=bind,from=package,source=(?<source>\S+),target=(?<target>\S+) /;

const composeSchema = z.looseObject({
  services: z.looseObject({
    orchestrator: z.looseObject({ healthcheck: z.looseObject({ test: z.array(z.string()) }) }),
  }),
});

describe('the image of the Dockerfile', { skip, concurrency: 1 }, () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'lmas-image-'));
  const [packed = [], image = []] = stagesOf(read('container/Dockerfile'));
  const values = (name: string) => image.filter((each) => each.name === name).map(({ value }) => value);
  const only = (name: string): string => {
    const all = values(name);
    assert.equal(all.length, 1, `${name}: ${all.join(', ')}`);
    return all[0] ?? '';
  };
  let debian: DebianMachine;
  let deb = '';

  before(
    async () => {
      deb = await buildDeb({ out: directory, compression: 'gzip' });
    },
    { timeout: 240_000 },
  );
  before(
    async () => {
      debian = await DebianMachine.make([]);
    },
    { timeout: 240_000 },
  );
  after(async () => {
    await debian?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  test('is of the release that the root here is, and of instructions that are tried here', () => {
    assert.deepEqual(values('FROM'), ['debian:bookworm-slim']);
    const tried = ['FROM', 'RUN', 'USER', 'ENV', 'VOLUME', 'EXPOSE', 'ENTRYPOINT'];
    assert.deepEqual(
      image.filter(({ name }) => !tried.includes(name)),
      [],
    );
  });

  test('its steps run, and leave no package lists', { timeout: 240_000 }, async () => {
    const [, pattern = '', copiedTo = ''] =
      /^(\S+) (\S+)$/.exec(packed.find(({ name }) => name === 'COPY')?.value ?? '') ?? [];
    assert.ok(path.matchesGlob(path.basename(deb), pattern), `${deb} is what ${pattern} copies`);
    const step = only('RUN');
    const { source, target = '' } = MOUNT.exec(step)?.groups ?? {};
    assert.equal(source, copiedTo);
    await runStep(debian.path('/'), step.replace(MOUNT, ''), { file: deb, at: target });
    assert.deepEqual(readdirSync(debian.path('/var/lib/apt/lists')), []);
  });

  test('its user has the number that the file of Compose names', () => {
    const [, id] =
      new RegExp(`^${only('USER')}:x:(\\d+):`, 'm').exec(readFileSync(debian.path('/etc/passwd'), 'utf8')) ?? [];
    assert.match(read('container/compose.yaml'), new RegExp(`chown ${id} master-key`));
  });

  /** As Kubernetes hands out a volume with an fsGroup: root's, for that group to write to. */
  function giveVolumeTo(user: number): void {
    const volume = debian.path(only('VOLUME'));
    rmSync(volume, { recursive: true });
    mkdirSync(volume);
    chownSync(volume, 0, user);
    chmodSync(volume, 0o2775);
  }

  const start = (user: string, env: Record<string, string>) => {
    const { orchestrator } = composeSchema.parse(parse(read('container/compose.yaml'))).services;
    const [, ...probe] = orchestrator.healthcheck.test;
    const command = JSON.parse(only('ENTRYPOINT')) as string[];
    return tryService(debian.path('/'), { user, env, command, probe, volume: only('VOLUME') });
  };

  test('what it starts becomes healthy, without capabilities and on a read-only file system', SLOW, async () => {
    const [name = '', value = ''] = only('ENV').split('=');
    await start(only('USER'), { [name]: value });
  });

  test('and as the user of the chart, in the directory that it names', SLOW, async () => {
    const chart = read('helm/lmas/templates/orchestrator.yaml');
    const [, user = ''] = /podSecurity" \(dict "user" (\d+)\)/.exec(chart) ?? [];
    const [, directory = ''] = /name: LMAS_DATA_DIR\s+value: (\S+)/.exec(chart) ?? [];
    giveVolumeTo(Number(user));
    await start(user, { LMAS_DATA_DIR: directory });
  });
});
