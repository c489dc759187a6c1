// What is written to a machine's directory before its first start: keys, addresses, the daemons' settings. Written once: a machine that is
// started again after a crash finds the disk it had.

import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.ts';
import { type Addresses, isHost, MACHINES, type MachineName, SHARED_DIR } from './names.ts';

const SSHD_CONFIG = `# sshd of a machine of the lab
Port 22
HostKey /run/lab/host_key
AuthorizedKeysFile /run/lab/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
AllowStreamLocalForwarding yes
AllowTcpForwarding yes
MaxStartups 100
MaxSessions 100
PidFile /run/sshd.pid
PrintMotd no
Subsystem sftp internal-sftp
`;

const QEMU_CONF = `security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
`;

const libvirtdConf = () => `host_uuid = "${randomUUID()}"
unix_sock_group = "root"
auth_unix_rw = "none"
listen_tls = 0
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
`;

/** An ed25519 key pair at `path` and `path.pub`, made if it is not there. */
export async function ensureKeyPair(path: string, comment: string): Promise<void> {
  if (!existsSync(path)) await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path]);
}

/** SHA256:… of a public key file, as OpenSSH prints it. */
export function fingerprintOf(publicKeyFile: string): string {
  const blob = Buffer.from(readFileSync(publicKeyFile, 'utf8').split(' ')[1] ?? '', 'base64');
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

export async function writeMachineFiles(
  directory: string,
  machine: MachineName,
  addresses: Addresses,
  clientKey: string,
): Promise<void> {
  if (existsSync(join(directory, 'ssh', 'complete'))) return;
  const ssh = join(directory, 'ssh');
  mkdirSync(ssh, { recursive: true, mode: 0o700 });
  await ensureKeyPair(join(ssh, 'host_key'), machine);
  writeFileSync(join(ssh, 'sshd_config'), SSHD_CONFIG);
  writeFileSync(join(ssh, 'authorized_keys'), readFileSync(`${clientKey}.pub`));
  writeFileSync(join(ssh, 'machine-id'), `${randomUUID().replaceAll('-', '')}\n`);
  const known = MACHINES.map((name) => `${addresses.machine[name].data} ${name}`);
  writeFileSync(join(ssh, 'hosts'), `127.0.0.1 localhost\n${known.join('\n')}\n`);
  if (isHost(machine)) {
    for (const part of [
      'etc-libvirt/qemu',
      'etc-libvirt/storage/autostart',
      'lib-libvirt/images',
      'cache-libvirt',
      'log-libvirt',
    ]) {
      mkdirSync(join(directory, part), { recursive: true });
    }
    writeFileSync(join(directory, 'etc-libvirt', 'qemu.conf'), QEMU_CONF);
    writeFileSync(join(directory, 'etc-libvirt', 'libvirtd.conf'), libvirtdConf());
    for (const [pool, path] of Object.entries({ default: '/var/lib/libvirt/images', shared: SHARED_DIR })) {
      const xml = `<pool type='dir'><name>${pool}</name><uuid>${randomUUID()}</uuid><target><path>${path}</path></target></pool>\n`;
      for (const place of ['storage', 'storage/autostart'])
        writeFileSync(join(directory, 'etc-libvirt', place, `${pool}.xml`), xml);
    }
  }
  writeFileSync(join(ssh, 'complete'), '');
}
