/**
 * Clients and types that are not ours. govmomi's client works with the endpoint as with a real vCenter; and what govmomi's simulator answers
 * fits the same reading of the published types that the endpoint is held to.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import { buildGo, Simulator } from './go/programs.ts';
import { type Answers, dig, sendSoap } from './raw-client.ts';
import { checkField } from './schema/check.ts';
import { alpha, VCENTER_LOGIN, vmSpec } from './two-vcenters.ts';
import { LocalVcenter, publishedSchema } from './vcenter.ts';
import { decodeAnswer } from './wire/soap-decode.ts';

interface Seen {
  readonly apiVersion: string;
  readonly inventory: Readonly<Record<string, number>>;
  readonly hosts: Readonly<Record<string, string>>;
  readonly before: string;
  readonly after: string;
  readonly progress: readonly number[];
  readonly disks: readonly string[];
  readonly encryption: string;
  readonly fault?: string;
  readonly byUuid: boolean;
}

async function govmomi(vcenter: LocalVcenter, ...args: readonly string[]): Promise<Seen> {
  const url = new URL(vcenter.url);
  url.username = encodeURIComponent(VCENTER_LOGIN.username);
  url.password = VCENTER_LOGIN.password;
  const { stdout } = await promisify(execFile)(await buildGo('client'), ['-url', url.href, ...args]);
  return JSON.parse(stdout) as Seen;
}

/** Minutes on a machine without its cache; no vCenter is to wait for that. */
before(async () => {
  await buildGo('client');
});

test('govmomi logs in, lists everything, and relocates a VM whose memory and disk really move', async () => {
  await using vcenter = await LocalVcenter.start(alpha());
  const vm = vmSpec('shop');
  const seen = await govmomi(vcenter, '-vm', 'shop', '-host', 'esx-a2', '-datastore', 'local-2');
  assert.equal(seen.apiVersion, '8.0.2.0');
  assert.deepEqual(seen.inventory, {
    ...{ Datacenter: 1, ClusterComputeResource: 1, HostSystem: 2, Datastore: 3, Network: 2 },
    ...{ VirtualMachine: 1, ResourcePool: 1, Folder: 6 },
  });
  assert.deepEqual([seen.before, seen.after], [seen.hosts['esx-a1'], seen.hosts['esx-a2']]);
  assert.deepEqual([seen.fault, seen.byUuid, seen.encryption], [undefined, true, 'opportunistic']);
  assert.deepEqual(seen.disks, ['[local-2] shop/shop.vmdk']);
  assert.deepEqual(vcenter.runsAt(vm.instanceUuid), ['esx-a2']);
  assert.equal(vcenter.host('esx-a2').received.vmotion, vm.memoryBytes + 4 * 1024 ** 2);
  assert.deepEqual(vcenter.endpoint.violations, []);
});

test('govmomi understands a fault in the middle: the task has an error, the VM stays', async () => {
  await using vcenter = await LocalVcenter.start(alpha());
  vcenter.endpoint.relocation.corrupt = true;
  const seen = await govmomi(vcenter, '-vm', 'shop', '-host', 'esx-a2', '-datastore', 'local-2');
  assert.match(seen.fault ?? '', /not able to connect over the vMotion network/);
  assert.equal(seen.after, seen.before);
  assert.deepEqual(vcenter.runsAt(vmSpec('shop').instanceUuid), ['esx-a1']);
  assert.deepEqual(vcenter.endpoint.violations, []);
});

test('what the simulator answers fits our reading of the types, and only the right password opens it', async () => {
  await using simulator = await Simulator.start({ username: 'root', password: 'secret' });
  await using other = await Simulator.start();
  assert.notEqual(simulator.url.port, other.url.port);
  // Its key is too short for OpenSSL to trust.
  const at: Answers = { address: simulator.url.hostname, port: Number(simulator.url.port), certificate: 'unverified' };
  const check = { schema: publishedSchema(), violations: [] as string[] };
  const call = async (method: string, inside: string, cookie?: string) => {
    const { status, headers, body } = await sendSoap(at, `<${method} xmlns="urn:vim25">${inside}</${method}>`, cookie);
    if (status !== 200) return { fault: body, cookie: undefined };
    const result = decodeAnswer(check, method, body);
    const field = check.schema.method(method)?.result;
    if (field !== undefined) checkField(check, field, result, method);
    return { result, cookie: headers['set-cookie']?.[0]?.split(';')[0] };
  };
  const logIn = (password: string) =>
    call(
      'Login',
      `<_this type="SessionManager">SessionManager</_this><userName>root</userName><password>${password}</password>`,
    );
  assert.match((await logIn('wrong')).fault ?? '', /InvalidLogin/);
  const { cookie } = await logIn('secret');
  const root = '<container type="Folder">group-d1</container><type>VirtualMachine</type><recursive>true</recursive>';
  const view = await call('CreateContainerView', `<_this type="ViewManager">ViewManager</_this>${root}`, cookie);
  const paths = ['name', 'config.uuid', 'config.hardware.device', 'runtime.host', 'network', 'datastore'];
  const specSet = `<specSet><propSet><type>VirtualMachine</type>${paths.map((path) => `<pathSet>${path}</pathSet>`).join('')}</propSet>
    <objectSet><obj type="ContainerView">${dig(view.result, 'value')}</obj><skip>true</skip>
    <selectSet xsi:type="TraversalSpec"><type>ContainerView</type><path>view</path></selectSet></objectSet></specSet>`;
  const collector = '<_this type="PropertyCollector">propertyCollector</_this>';
  const { result } = await call('RetrievePropertiesEx', `${collector}${specSet}<options/>`, cookie);
  assert.equal((dig(result, 'objects') as readonly unknown[]).length, 4);
  assert.deepEqual(check.violations, []);
});
