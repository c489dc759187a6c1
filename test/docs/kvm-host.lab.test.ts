/**
 * docs/kvm-host.md, typed: its commands, taken from the page, at two hosts that are as Debian ships them (polkit decides who may talk to
 * libvirt, sshd with its own settings and no forwarding, no storage pool, a firewall that is shut). Then a VM moves with the login that they made.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { Lab, LabHost, SiteName } from '../lab/src/index.ts';
import { endpointId, siteId } from '../support/two-sites.ts';
import { World } from '../support/world.ts';
import { codeBlocksOf, root } from './markdown.ts';

const PAGE = 'docs/kvm-host.md';
const SITES = ['a', 'b'] as const;
const skip = process.getuid?.() === 0 ? false : 'the lab needs root';
const run = promisify(execFile);

/** Where a block is typed: `here`, at each `host`, for each `endpoint`; `packages` are what the hosts of the lab have. */
const blocks = codeBlocksOf(PAGE).filter(({ language }) => language === 'sh');
const typed = (where: string): string[] => blocks.filter(({ info }) => info === where).map(({ code }) => code);

/** No systemd is in a machine of the lab. */
const SYSTEMCTL = `#!/bin/sh
[ "$*" = 'reload ssh' ] && exec kill -HUP "$(cat /run/sshd.pid)"
echo "nobody knows what this is here: systemctl $*" >&2
exit 1
`;

/** What Debian's maintainer scripts and units make of a host, hardened as many are; the lab's own are simpler. */
const AS_DEBIAN_SHIPS_IT = `
printf 'AllowTcpForwarding no\\nAllowStreamLocalForwarding no\\n' >> /etc/ssh/sshd_config
cp /run/lab/host_key /etc/ssh/ssh_host_ed25519_key
cp /run/lab/host_key.pub /etc/ssh/ssh_host_ed25519_key.pub
chmod 600 /etc/ssh/ssh_host_ed25519_key
chmod 711 /var/lib/libvirt/images
install -d /run/dbus /var/lib/polkit-1
dbus-daemon --system --fork
setsid --fork /usr/lib/polkit-1/polkitd >/dev/null 2>&1 </dev/null
sed -i 's/^auth_unix_rw.*/auth_unix_rw = "polkit"\\nunix_sock_rw_perms = "0777"/' /etc/libvirt/libvirtd.conf
virsh pool-destroy default
virsh pool-undefine default
`;

/** New connections are dropped unless something lets them in; what is not new has no SYN of its own. */
const FIREWALL = `
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    tcp flags & (syn | ack) != syn accept
    iif lo accept
    ip protocol icmp accept
    iifname mgmt tcp dport 22 accept
  }
}
`;

async function asDebianShipsIt(host: LabHost): Promise<void> {
  mkdirSync(host.path('/usr/local/sbin'));
  writeFileSync(host.path('/usr/local/sbin/systemctl'), SYSTEMCTL, { mode: 0o755 });
  await host.exec(['/bin/sh', '-ec', AS_DEBIAN_SHIPS_IT]);
  await host.restartLibvirtd();
  await host.killSshd();
  await host.exec(['/usr/sbin/sshd', '-E', '/var/log/sshd.log']);
  await host.exec(['nft', '-f', '-'], { input: FIREWALL });
}

describe('a KVM host, prepared as its page says', { skip, concurrency: 1 }, () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'lmas-kvm-host-'));
  const said: Partial<Record<SiteName, string>> = {};
  let world: World;

  /** Typed where the orchestrator is. */
  async function typeHere(code: string): Promise<string> {
    const bin = `lmas() { '${process.execPath}' '${root}/apps/cli/bin/lmas.mjs' "$@"; }\n`;
    const env = {
      ...{ PATH: process.env.PATH, HOME: directory },
      ...(world && { LMAS_URL: world.orchestrator.baseUrl, LMAS_API_KEY_FILE: world.orchestrator.apiKeyFile }),
    };
    return (await run('/bin/bash', ['--norc', '-euc', bin + code], { cwd: directory, env })).stdout;
  }

  /** The page's examples are of one host; each of the lab's has names and addresses of its own. */
  function as(site: SiteName, lab: Lab, code: string): string {
    const { host, gatewayHost } = lab.sites[site];
    return code
      .replaceAll('host-a.example.org', host.address)
      .replaceAll('SHA256:…', /SHA256:\S+/.exec(said[site] ?? '')?.[0] ?? 'not said')
      .replaceAll('10.1.0.10', host.dataAddress)
      .replaceAll('10.1.0.5', gatewayHost.dataAddress)
      .replaceAll('host-a', `host-${site}`)
      .replaceAll('--site a', `--site ${siteId(site)}`);
  }

  async function prepare(lab: Lab): Promise<void> {
    await typeHere(typed('here')[0] ?? '');
    for (const site of SITES) {
      const { host } = lab.sites[site];
      await asDebianShipsIt(host);
      copyFileSync(path.join(directory, 'lmas-kvm.pub'), host.path('/root/lmas-kvm.pub'));
      for (const code of typed('host')) {
        const { stdout } = await host.exec(['/bin/bash', '--norc', '-euc', `cd /root\n${as(site, lab, code)}`]);
        said[site] = `${said[site] ?? ''}${stdout}`;
      }
    }
  }

  before(async () => {
    world = await World.up({ name: 'kvmhost', rateMbit: 1_000, rttMs: 20 }, prepare);
    // They would log in as root, which these hosts take nobody for.
    for (const site of SITES) await world.client.deleteEndpoint(endpointId(site));
  });
  after(async () => {
    await world?.down();
    rmSync(directory, { recursive: true });
  });

  test('every block of the page is typed somewhere, and what it installs is what the hosts have', () => {
    assert.deepEqual(new Set(blocks.map(({ info }) => info)), new Set(['here', 'packages', 'host', 'endpoint']));
    const [install = ''] = typed('packages');
    const ofTheLab = readFileSync(path.join(root, 'tools/debian-packages.mjs'), 'utf8');
    for (const name of install.replace('apt install ', '').split(' ')) assert.ok(ofTheLab.includes(`'${name}'`), name);
  });

  test('sshd forwards the login what it needs and nobody else, where all forwarding is forbidden', async () => {
    const { host } = world.lab.sites.a;
    const settings = async (user: string) =>
      (await host.exec(['/usr/sbin/sshd', '-T', '-C', `user=${user},host=any,addr=192.0.2.1`])).stdout;
    assert.match(await settings('lmas-kvm'), /^allowtcpforwarding local$/m);
    assert.match(await settings('root'), /^allowtcpforwarding no$/m);
  });

  test('the orchestrator finds there all that migrations need', async () => {
    const [, login = ''] = typed('here');
    await typeHere(login);
    for (const site of SITES) {
      for (const code of typed('endpoint')) {
        const answer = await typeHere(as(site, world.lab, code));
        assert.doesNotMatch(answer, /warn|fail/i, answer);
      }
    }
  });

  test('a VM with a disk of its own goes there and back', async () => {
    const vm = await world.startVm({
      ...{ name: 'shop', memoryMib: 192, fillMib: 128, workingSetMib: 32, dirtyPagesPerSec: 500 },
      ...{ disks: [{ kind: 'local', format: 'qcow2', sizeMib: 32 }], diskUseMib: 8, diskSectorsPerSec: 20 },
    });
    try {
      for (const [source, destination] of [SITES, SITES.toReversed()] as [SiteName, SiteName][]) {
        // A copied disk is kept at the source, where it would be in the way of the way back.
        const kept = `/var/lib/libvirt/images/${vm.name}-0.qcow2`;
        const ends = { source: `host-${source}`, destination: `host-${destination}` };
        const migration = await world.end((await world.migrate(vm, ends)).id);
        assert.equal(migration.phase, 'succeeded', JSON.stringify(migration.error));
        assert.equal(migration.teardown, 'complete');
        assert.deepEqual(migration.report?.warnings, []);
        await vm.assertLivesAt(destination);
        await world.lab.sites[source].host.exec(['rm', kept]);
        await world.lab.sites[source].host.exec(['virsh', 'pool-refresh', 'default']);
      }
      assert.deepEqual(await world.leftovers([vm]), []);
      // A later run can end the connections of this one: the hosts showed it its own sshd.
      assert.doesNotMatch(readFileSync(world.orchestrator.logFile, 'utf8'), /cannot be marked/);
    } catch (error) {
      console.error(await world.describeTrouble());
      await world.cancelAll();
      throw error;
    } finally {
      await vm.remove();
    }
  });
});
