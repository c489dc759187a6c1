/** The endpoint on the wire, in both forms: sessions, the inventory and how it is followed, what is refused, and what goes wrong on command. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { ClientGone } from './endpoint.ts';
import type { FaultEffect } from './faults.ts';
import { type AnsweredFault, dig, RawViJson, send, sendSoap } from './raw-client.ts';
import { type DataObject, type MoRef, moRef } from './schema/value.ts';
import { alpha, VCENTER_LOGIN, vmSpec } from './two-vcenters.ts';
import { LocalVcenter } from './vcenter.ts';

const SERVICE = moRef('ServiceInstance', 'ServiceInstance');
const SESSIONS = moRef('SessionManager', 'SessionManager');
const COLLECTOR = moRef('PropertyCollector', 'propertyCollector');
const VIEWS = moRef('ViewManager', 'ViewManager');
const ROOT = moRef('Folder', 'group-d1');

const login = (password = VCENTER_LOGIN.password) =>
  `<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this><userName>${VCENTER_LOGIN.username}</userName><password>${password}</password></Login>`;
const currentTime =
  '<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>';

describe('SOAP', () => {
  test('a session begins with Login, is a cookie, and ends with Logout', async () => {
    await using vcenter = await LocalVcenter.start(alpha());
    const content = await sendSoap(
      vcenter,
      '<RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></RetrieveServiceContent>',
    );
    assert.match(content.body, /<sessionManager type="SessionManager">SessionManager<\/sessionManager>/);
    assert.match(content.body, /<apiType>VirtualCenter<\/apiType><apiVersion>8\.0\.2\.0<\/apiVersion>/);
    const early = await sendSoap(vcenter, currentTime);
    assert.equal(early.status, 500);
    assert.match(
      early.body,
      /<RuntimeFaultFault xmlns="urn:vim25" xsi:type="NotAuthenticated"><object type="ServiceInstance">/,
    );
    const refused = await sendSoap(vcenter, login('wrong'));
    assert.match(
      refused.body,
      /<detail><InvalidLoginFault xmlns="urn:vim25" xsi:type="InvalidLogin"><\/InvalidLoginFault><\/detail>/,
    );
    const welcome = await sendSoap(vcenter, login());
    const [cookie = ''] = welcome.headers['set-cookie'] ?? [];
    assert.match(cookie, /^vmware_soap_session="[0-9a-f]{40}"; Path=\/; HttpOnly; Secure/);
    const session = cookie.split(';')[0] ?? '';
    assert.equal((await sendSoap(vcenter, currentTime, session)).status, 200);
    await sendSoap(
      vcenter,
      '<Logout xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this></Logout>',
      session,
    );
    assert.equal((await sendSoap(vcenter, currentTime, session)).status, 500);
    assert.deepEqual(vcenter.endpoint.violations, []);
  });

  test('its versions are published', async () => {
    await using vcenter = await LocalVcenter.start({ ...alpha(), apiVersion: '7.0' }, { plain: true });
    const { body } = await send(vcenter, 'GET', '/sdk/vimServiceVersions.xml');
    assert.match(body, /<name>urn:vim25<\/name><version>7\.0<\/version><priorVersions><version>6\.7<\/version>/);
  });

  const spec = (inside: string) =>
    `<RelocateVM_Task xmlns="urn:vim25"><_this type="VirtualMachine">vm-11</_this><spec>${inside}</spec></RelocateVM_Task>`;
  const WRONG: readonly (readonly [string, string, RegExp])[] = [
    [
      'a member that is not published',
      spec('<hoost type="HostSystem">host-12</hoost>'),
      /RelocateVM_Task\.spec: hoost is not published/,
    ],
    [
      'members in another order',
      spec('<host type="HostSystem">host-12</host><datastore type="Datastore">datastore-12</datastore>'),
      /spec\.datastore: comes after host, the schema has it before/,
    ],
    [
      'a value that is none of the enumeration',
      spec('<diskMoveType>everything</diskMoveType>'),
      /"everything" is no value of VirtualMachineRelocateDiskMoveOptions/,
    ],
    [
      'a member that is missing',
      spec('<disk><diskId>2000</diskId></disk>'),
      /spec\.disk\[0\]\.datastore: required by the published type/,
    ],
    [
      'text where a number belongs',
      spec('<disk><diskId>two</diskId><datastore type="Datastore">datastore-12</datastore></disk>'),
      /"two" is no int/,
    ],
    [
      'a type that may not stand there',
      spec(
        '<service><instanceUuid>u</instanceUuid><url>https://x/sdk</url><credential xsi:type="HostSystemInfo"><vendor>v</vendor><model>m</model><uuid>u</uuid></credential></service>',
      ),
      /HostSystemInfo may not stand for ServiceLocatorCredential/,
    ],
    [
      'a reference to what is no managed object',
      spec('<host type="Host">host-12</host>'),
      /Host is no managed object's type/,
    ],
    [
      'something twice',
      spec('<pool type="ResourcePool">resgroup-11</pool><pool type="ResourcePool">resgroup-11</pool>'),
      /spec\.pool: comes twice/,
    ],
    [
      'a method that is not published',
      '<MoveVM xmlns="urn:vim25"><_this type="VirtualMachine">vm-11</_this></MoveVM>',
      /MoveVM is no published method/,
    ],
    [
      'another namespace',
      '<CurrentTime xmlns="urn:vim"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>',
      /CurrentTime is not in the namespace urn:vim25/,
    ],
    ['what is not XML', '<CurrentTime xmlns="urn:vim25"><_this></CurrentTime>', /not well-formed/],
  ];
  for (const [what, call, sentence] of WRONG)
    test(`${what}: refused, and written down`, async () => {
      await using vcenter = await LocalVcenter.start(alpha(), { plain: true });
      const { status, body } = await sendSoap(vcenter, call);
      assert.equal(status, 500);
      assert.match(body, /xsi:type="InvalidRequest"/);
      assert.match(vcenter.endpoint.violations.join('\n'), sentence);
    });
});

describe('VI/JSON', () => {
  test('a session begins with Login, is a header, and ends on command', async () => {
    await using vcenter = await LocalVcenter.start(alpha());
    const client = new RawViJson(vcenter);
    assert.equal(dig(await client.get(SERVICE, 'content'), 'about._typeName'), 'AboutInfo');
    await assert.rejects(client.call(SERVICE, 'CurrentTime'), { name: 'NotAuthenticated' });
    const wrong = { userName: VCENTER_LOGIN.username, password: 'wrong' };
    await assert.rejects(client.call(SESSIONS, 'Login', wrong), { name: 'InvalidLogin' });
    const user = await client.call(SESSIONS, 'Login', { ...wrong, password: VCENTER_LOGIN.password });
    assert.deepEqual([dig(user, '_typeName'), typeof client.session], ['UserSession', 'string']);
    assert.match(String(await client.call(SERVICE, 'CurrentTime')), /^\d{4}-/);
    const active = { sessionID: dig(user, 'key'), userName: VCENTER_LOGIN.username };
    assert.equal(await client.call(SESSIONS, 'SessionIsActive', active), true);
    vcenter.endpoint.sessions.endAll();
    await assert.rejects(client.call(SERVICE, 'CurrentTime'), { name: 'NotAuthenticated' });
    assert.deepEqual(vcenter.endpoint.violations, []);
  });

  test('hello agrees on a release; an older vCenter has neither', async () => {
    await using vcenter = await LocalVcenter.start(alpha(), { plain: true });
    await using old = await LocalVcenter.start({ ...alpha(), apiVersion: '7.0' }, { plain: true });
    const hello = (to: LocalVcenter) =>
      send(to, 'POST', '/api/vcenter/system?action=hello', {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ api_releases: ['9.0.0.0', '8.0.2.0', '8.0.1.0'] }),
      });
    assert.deepEqual(JSON.parse((await hello(vcenter)).body), { api_release: '8.0.2.0' });
    assert.equal((await hello(old)).status, 404);
    assert.equal((await send(old, 'GET', '/sdk/vim25/8.0.1.0/ServiceInstance/ServiceInstance/content')).status, 404);
    assert.equal(
      (await send(vcenter, 'GET', '/sdk/vim25/9.0.0.0/ServiceInstance/ServiceInstance/content')).status,
      404,
    );
  });

  const refused: readonly (readonly [string, object, RegExp])[] = [
    [
      'an object that does not say its type',
      { spec: { pool: moRef('ResourcePool', 'resgroup-11') } },
      /RelocateVM_Task\.spec: an object without "_typeName"/,
    ],
    [
      'a member that is not published',
      { spec: { _typeName: 'VirtualMachineRelocateSpec', hoost: 1 } },
      /VirtualMachineRelocateSpec has no member hoost/,
    ],
    [
      'a parameter that is not published',
      { spec: { _typeName: 'VirtualMachineRelocateSpec' }, when: 'now' },
      /RelocateVM_Task: no parameter when/,
    ],
    ['no parameter where one is required', {}, /RelocateVM_Task\.spec: required by the published type/],
  ];
  for (const [what, parameters, sentence] of refused)
    test(`${what}: refused, and written down`, async () => {
      await using vcenter = await LocalVcenter.start(alpha(), { plain: true });
      const client = await RawViJson.logIn(vcenter);
      await assert.rejects(client.call(moRef('VirtualMachine', 'vm-11'), 'RelocateVM_Task', parameters), {
        name: 'InvalidRequest',
      });
      assert.match(vcenter.endpoint.violations.join('\n'), sentence);
    });
});

const filter = (propSet: readonly object[], obj: MoRef, selectSet: readonly object[] = []): object => ({
  _typeName: 'PropertyFilterSpec',
  propSet: propSet.map((one) => ({ _typeName: 'PropertySpec', ...one })),
  objectSet: [{ _typeName: 'ObjectSpec', obj, skip: selectSet.length > 0, selectSet }],
});

const traversal = (type: string, path: string, selectSet: readonly object[] = [], name?: string): object => ({
  ...{ _typeName: 'TraversalSpec', type, path, skip: false, selectSet },
  ...(name === undefined ? {} : { name }),
});

const names = (result: unknown): unknown[] =>
  ((dig(result, 'objects') ?? []) as readonly unknown[])
    .map((content) => dig(content, 'propSet.0.val._value'))
    .toSorted();

const manyVms = Array.from({ length: 7 }, (_, i) => vmSpec(`vm${i}`));

describe('the inventory', () => {
  test('is read through a view, in pages', async () => {
    await using vcenter = await LocalVcenter.start(alpha(manyVms), { plain: true });
    const client = await RawViJson.logIn(vcenter);
    const view = (await client.call(VIEWS, 'CreateContainerView', {
      container: ROOT,
      type: ['VirtualMachine'],
      recursive: true,
    })) as MoRef;
    const specSet = [
      filter([{ type: 'VirtualMachine', pathSet: ['name'] }], view, [traversal('ContainerView', 'view')]),
    ];
    const options = { _typeName: 'RetrieveOptions', maxObjects: 3 };
    const pages = [await client.call(COLLECTOR, 'RetrievePropertiesEx', { specSet, options })];
    for (let token = dig(pages[0], 'token'); token !== undefined; token = dig(pages.at(-1), 'token'))
      pages.push(await client.call(COLLECTOR, 'ContinueRetrievePropertiesEx', { token }));
    assert.deepEqual(
      pages.map((page) => names(page).length),
      [3, 3, 1],
    );
    assert.deepEqual(
      pages.flatMap(names).toSorted(),
      manyVms.map(({ name }) => name),
    );
    const first = await client.call(COLLECTOR, 'RetrievePropertiesEx', { specSet, options });
    await client.call(COLLECTOR, 'CancelRetrievePropertiesEx', { token: dig(first, 'token') });
    await assert.rejects(client.call(COLLECTOR, 'ContinueRetrievePropertiesEx', { token: dig(first, 'token') }), {
      name: 'InvalidProperty',
    });
    await client.call(view, 'DestroyView');
    await assert.rejects(client.call(COLLECTOR, 'RetrievePropertiesEx', { specSet, options }), {
      name: 'ManagedObjectNotFound',
    });
    assert.deepEqual(vcenter.endpoint.violations, []);
  });

  test('is read by walking from the root folder, with selections that name each other', async () => {
    await using vcenter = await LocalVcenter.start(alpha([vmSpec('shop', { folder: 'production/shops' })]), {
      plain: true,
    });
    const client = await RawViJson.logIn(vcenter);
    const again = { _typeName: 'SelectionSpec', name: 'folders' };
    const down = [again, traversal('Datacenter', 'vmFolder', [again]), traversal('Datacenter', 'hostFolder', [again])];
    const hosts = traversal('ComputeResource', 'host', []);
    const selectSet = [traversal('Folder', 'childEntity', [...down, hosts], 'folders')];
    const specSet = [
      filter(
        [
          { type: 'VirtualMachine', pathSet: ['name'] },
          { type: 'HostSystem', pathSet: ['name'] },
        ],
        ROOT,
        selectSet,
      ),
    ];
    const result = await client.call(COLLECTOR, 'RetrievePropertiesEx', {
      specSet,
      options: { _typeName: 'RetrieveOptions' },
    });
    assert.deepEqual(names(result), ['esx-a1', 'esx-a2', 'shop']);
    assert.deepEqual(vcenter.endpoint.violations, []);
  });

  test('has paths into objects, unset ones left out, unknown ones refused', async () => {
    await using vcenter = await LocalVcenter.start(alpha(), { plain: true });
    const client = await RawViJson.logIn(vcenter);
    const vm = moRef('VirtualMachine', 'vm-11');
    const read = async (...pathSet: readonly string[]): Promise<unknown> => {
      const specSet = [filter([{ type: 'VirtualMachine', pathSet }], vm)];
      const result = await client.call(COLLECTOR, 'RetrievePropertiesEx', {
        specSet,
        options: { _typeName: 'RetrieveOptions' },
      });
      return dig(result, 'objects.0.propSet');
    };
    const [device, snapshot] = [await read('config.hardware.device'), await read('snapshot', 'config.keyId')];
    assert.deepEqual(
      [dig(device, '0.val._typeName'), dig(device, '0.val._value.1._typeName')],
      ['ArrayOfVirtualDevice', 'VirtualDisk'],
    );
    assert.deepEqual(snapshot, []);
    assert.equal(dig(await read('config.hardware.device[2000].backing'), '0.val.fileName'), '[local-1] shop/shop.vmdk');
    assert.equal(dig(await read('runtime.powerState'), '0.val._typeName'), 'VirtualMachinePowerState');
    await assert.rejects(read('config.hardwear'), { name: 'InvalidProperty' });
    assert.deepEqual(vcenter.endpoint.violations, []);
  });

  test('is found by UUID and by path', async () => {
    await using vcenter = await LocalVcenter.start(alpha([vmSpec('shop', { folder: 'production/shops' })]), {
      plain: true,
    });
    const client = await RawViJson.logIn(vcenter);
    const index = moRef('SearchIndex', 'SearchIndex');
    const { uuid, instanceUuid } = vmSpec('shop');
    const vm = await client.call(index, 'FindByUuid', { uuid, vmSearch: true });
    assert.equal(dig(vm, 'type'), 'VirtualMachine');
    assert.deepEqual(
      await client.call(index, 'FindAllByUuid', { uuid: instanceUuid, vmSearch: true, instanceUuid: true }),
      [vm],
    );
    assert.deepEqual(
      await client.call(index, 'FindByInventoryPath', { inventoryPath: 'Alpha/vm/production/shops/shop' }),
      vm,
    );
    assert.equal(await client.call(index, 'FindByUuid', { uuid: instanceUuid, vmSearch: true }), undefined);
    const host = moRef('HostSystem', 'host-11');
    const hostUuid = dig(await client.get(host, 'hardware'), 'systemInfo.uuid');
    assert.deepEqual(await client.call(index, 'FindByUuid', { uuid: hostUuid, vmSearch: false }), host);
  });

  test('says which privileges a user has, and which adapters do what', async () => {
    const withheldPrivileges = [{ privilege: 'Host.Config.Network', object: 'esx-a2' }];
    await using vcenter = await LocalVcenter.start({ ...alpha(), withheldPrivileges }, { plain: true });
    const client = await RawViJson.logIn(vcenter);
    const entities = [moRef('HostSystem', 'host-11'), moRef('HostSystem', 'host-12')];
    const asked = { entities, userName: VCENTER_LOGIN.username, privId: ['Host.Config.Network'] };
    const granted = await client.call(
      moRef('AuthorizationManager', 'AuthorizationManager'),
      'HasUserPrivilegeOnEntities',
      asked,
    );
    assert.deepEqual(
      [0, 1].map((i) => dig(granted, `${i}.privAvailability.0.isGranted`)),
      [true, false],
    );
    const config = await client.call(moRef('HostVirtualNicManager', 'virtualNicManager-11'), 'QueryNetConfig', {
      nicType: 'vmotion',
    });
    assert.deepEqual(dig(config, 'selectedVnic'), ['vmotion.key-vim.host.VirtualNic-vmk1']);
    const stacks = dig(
      await client.get(moRef('HostSystem', 'host-11'), 'config'),
      'network.netStackInstance',
    ) as readonly unknown[];
    assert.deepEqual(
      stacks.map((stack) => dig(stack, 'key')),
      ['vSphereProvisioning', 'vmotion', 'defaultTcpipStack'],
    );
    assert.deepEqual(vcenter.endpoint.violations, []);
  });
});

describe('updates', () => {
  async function follow(partialUpdates = false, vms = [vmSpec('shop')]) {
    const vcenter = await LocalVcenter.start(alpha(vms), { plain: true });
    const client = await RawViJson.logIn(vcenter);
    const view = await client.call(VIEWS, 'CreateContainerView', {
      container: ROOT,
      type: ['VirtualMachine'],
      recursive: true,
    });
    const spec = filter([{ type: 'VirtualMachine', pathSet: ['name', 'runtime'] }], view as MoRef, [
      traversal('ContainerView', 'view'),
    ]);
    const made = (await client.call(COLLECTOR, 'CreateFilter', { spec, partialUpdates })) as MoRef;
    const wait = (version?: unknown, options: object = {}): Promise<unknown> =>
      client.call(COLLECTOR, 'WaitForUpdatesEx', {
        ...(version === undefined ? {} : { version }),
        options: { _typeName: 'WaitOptions', maxWaitSeconds: 5, ...options },
      });
    const vm = vcenter.endpoint.objects.byName('VirtualMachine', vms[0]?.name ?? '') as MoRef;
    return { vcenter, client, made, wait, vm, [Symbol.asyncDispose]: () => vcenter.stop() };
  }

  const objectSet = (update: unknown): readonly unknown[] =>
    (dig(update, 'filterSet.0.objectSet') ?? []) as readonly unknown[];

  test('begin with everything, go on with what changes, and are nothing when nothing does', async () => {
    await using world = await follow();
    const { vcenter, wait, vm } = world;
    const all = await wait();
    assert.deepEqual(
      objectSet(all).map((one) => dig(one, 'kind')),
      ['enter'],
    );
    assert.equal(await wait(dig(all, 'version'), { maxWaitSeconds: 0 }), undefined);
    const next = wait(dig(all, 'version'));
    vcenter.endpoint.objects.set(vm, { name: 'renamed' });
    const [change] = objectSet(await next);
    assert.deepEqual(
      [dig(change, 'kind'), dig(change, 'changeSet.0.name'), dig(change, 'changeSet.0.val._value')],
      ['modify', 'name', 'renamed'],
    );
    const again = await wait(dig(all, 'version'));
    assert.deepEqual(objectSet(again), [change], 'who lost the answer asks again');
    await assert.rejects(wait('12345'), { name: 'InvalidCollectorVersion' });
    assert.deepEqual(vcenter.endpoint.violations, []);
  });

  test('come in parts when there are many, and tell who left', async () => {
    await using world = await follow(false, manyVms);
    const { vcenter, client, wait, made, vm } = world;
    const first = await wait(undefined, { maxObjectUpdates: 4 });
    assert.deepEqual([objectSet(first).length, dig(first, 'truncated')], [4, true]);
    const rest = await wait(dig(first, 'version'), { maxObjectUpdates: 4 });
    assert.deepEqual([objectSet(rest).length, dig(rest, 'truncated')], [3, undefined]);
    vcenter.endpoint.objects.remove(vm);
    const left = objectSet(await wait(dig(rest, 'version')));
    assert.deepEqual(
      left.map((one) => [dig(one, 'kind'), dig(one, 'obj.value')]),
      [['leave', vm.value]],
    );
    await client.call(made, 'DestroyPropertyFilter');
    await assert.rejects(client.call(made, 'DestroyPropertyFilter'), { name: 'ManagedObjectNotFound' });
    assert.deepEqual(vcenter.endpoint.violations, []);
  });

  test('are partial when that was asked for', async () => {
    await using world = await follow(true);
    const { vcenter, wait, vm } = world;
    const all = await wait();
    vcenter.endpoint.objects.merge(vm, 'runtime', { powerState: 'suspended' });
    const [change] = objectSet(await wait(dig(all, 'version')));
    assert.deepEqual(dig(change, 'changeSet'), [
      {
        ...{ _typeName: 'PropertyChange', name: 'runtime.powerState', op: 'assign' },
        val: { _typeName: 'VirtualMachinePowerState', _value: 'suspended' },
      },
    ]);
    assert.deepEqual(vcenter.endpoint.violations, []);
  });

  test('end with CancelWaitForUpdates, and with the session', async () => {
    await using world = await follow();
    const { vcenter, client, wait } = world;
    const all = await wait();
    const arrived = new Promise<void>((resolve) => {
      vcenter.endpoint.onCall = (method) => method === 'WaitForUpdatesEx' && resolve();
    });
    const cancelled = assert.rejects(wait(dig(all, 'version')), { name: 'RequestCanceled' });
    await arrived;
    await client.call(COLLECTOR, 'CancelWaitForUpdates');
    await cancelled;
    const waiting = new Promise<void>((resolve) => {
      vcenter.endpoint.onCall = (method) => method === 'WaitForUpdatesEx' && resolve();
    });
    const ended = assert.rejects(wait(dig(all, 'version')), { name: 'NotAuthenticated' });
    await waiting;
    vcenter.endpoint.sessions.endAll();
    await ended;
    assert.deepEqual(vcenter.endpoint.violations, []);
  });
});

describe('faults on command', () => {
  async function broken(effect: FaultEffect, rule: object = {}) {
    const vcenter = await LocalVcenter.start(alpha(), { plain: true });
    const client = await RawViJson.logIn(vcenter);
    vcenter.endpoint.faults.add({ method: 'CurrentTime', ...rule, effect });
    return { vcenter, time: () => client.call(SERVICE, 'CurrentTime'), [Symbol.asyncDispose]: () => vcenter.stop() };
  }

  test('a published fault, so often, after so many', async () => {
    const fault = { name: 'HostNotConnected', message: 'gone' };
    await using world = await broken({ kind: 'fault', fault }, { skip: 1, times: 2 });
    await world.time();
    await assert.rejects(world.time(), { name: 'HostNotConnected' });
    await assert.rejects(world.time(), (error: AnsweredFault) => error.fault.faultstring === 'gone');
    await world.time();
    assert.deepEqual(world.vcenter.endpoint.violations, []);
  });

  test('the same seed gives the same faults', async () => {
    await using world = await broken({ kind: 'fault', fault: { name: 'HostNotConnected' } }, { probability: 0.5 });
    const draw = async (): Promise<boolean[]> => {
      const { faults } = world.vcenter.endpoint;
      faults.set(
        [{ method: 'CurrentTime', probability: 0.5, effect: { kind: 'fault', fault: { name: 'HostNotConnected' } } }],
        7,
      );
      const outcomes: boolean[] = [];
      for (let i = 0; i < 12; i += 1)
        outcomes.push(
          await world.time().then(
            () => true,
            () => false,
          ),
        );
      return outcomes;
    };
    const first = await draw();
    assert.deepEqual(await draw(), first);
    assert.equal(new Set(first).size, 2);
  });

  test('a session that runs out, an answer that something in between gives, a connection that breaks', async () => {
    await using expired = await broken({ kind: 'expire-session' }, { times: 1 });
    await assert.rejects(expired.time(), { name: 'NotAuthenticated' });
    await using proxied = await broken({ kind: 'http', status: 503, body: 'try later' }, { times: 1 });
    await assert.rejects(proxied.time(), /503 try later/);
    await using cut = await broken({ kind: 'drop', done: false }, { times: 1 });
    await assert.rejects(cut.time(), { code: 'ECONNRESET' });
    await cut.time();
  });

  test('a lost reply: the call took effect, and nobody was told', async () => {
    await using vcenter = await LocalVcenter.start(alpha(), { plain: true });
    const client = await RawViJson.logIn(vcenter);
    vcenter.endpoint.faults.add({ method: 'RelocateVM_Task', times: 1, effect: { kind: 'drop', done: true } });
    const arrived = vcenter.endpoint.gates.hold('arrived');
    const spec = {
      _typeName: 'VirtualMachineRelocateSpec',
      host: moRef('HostSystem', 'host-12'),
      datastore: moRef('Datastore', 'datastore-12'),
    };
    await assert.rejects(client.call(moRef('VirtualMachine', 'vm-11'), 'RelocateVM_Task', { spec }), {
      code: 'ECONNRESET',
    });
    await arrived;
    assert.deepEqual(vcenter.runsAt(vmSpec('shop').instanceUuid), ['esx-a2']);
  });

  test('a call that waits until it is let go', async () => {
    await using world = await broken({ kind: 'hold', name: 'clock' }, { times: 1 });
    const there = world.vcenter.endpoint.gates.hold('clock');
    const time = world.time();
    await there;
    world.vcenter.endpoint.gates.release('clock');
    assert.match(String(await time), /^\d{4}-/);
  });
});

test('a vCenter that goes waits for nobody, not for one that has not finished its handshake either', async () => {
  await using vcenter = await LocalVcenter.start(alpha());
  const socket = connect(vcenter.port, vcenter.address);
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  await once(socket, 'connect');
  // Its connection is let in before this one's is.
  await sendSoap(vcenter, currentTime);
  await vcenter.kill();
  await closed;
});

describe('a client that hangs up is no violation of the published types', () => {
  const WAITS = {
    'in a wait for updates': [COLLECTOR, 'WaitForUpdatesEx'],
    'in a call that is held': [SERVICE, 'CurrentTime'],
  } as const;
  for (const [where, [target, method]] of Object.entries(WAITS)) {
    for (const wire of ['SOAP', 'VI/JSON']) {
      test(`${where}, over ${wire}`, async () => {
        await using vcenter = await LocalVcenter.start(alpha(), { plain: true });
        const { endpoint } = vcenter;
        const { session = '' } = await RawViJson.logIn(vcenter);
        endpoint.faults.add({ method: 'CurrentTime', effect: { kind: 'hold', name: 'clock' } });
        endpoint.gates.hold('clock');
        const hangUp = new AbortController();
        const served = whenServed(vcenter, () => hangUp.abort());
        const { signal } = hangUp;
        const { type, value } = target;
        const asked =
          wire === 'SOAP'
            ? sendSoap(
                vcenter,
                `<${method} xmlns="urn:vim25"><_this type="${type}">${value}</_this></${method}>`,
                `vmware_soap_session="${session}"`,
                { signal },
              )
            : send(vcenter, 'POST', `/sdk/vim25/8.0.2.0/${type}/${value}/${method}`, {
                ...{ headers: { 'vmware-api-session-id': session }, signal },
              });
        await assert.rejects(asked, { name: 'AbortError' });
        await assert.rejects(served, ClientGone);
        await turn(); // the wire hears of it after us
        assert.deepEqual(endpoint.violations, []);
      });
    }
  }

  /** How the next call ends at the endpoint. @param onCall when it has come */
  function whenServed({ endpoint }: LocalVcenter, onCall: () => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const call = endpoint.call.bind(endpoint);
      endpoint.call = (...args) => {
        const answer = call(...args);
        answer.then(resolve, reject);
        return answer;
      };
      endpoint.onCall = onCall;
    });
  }
});

test('an answer that does not fit the published types is written down, too', async () => {
  await using vcenter = await LocalVcenter.start(alpha(), { plain: true });
  const { objects, violations } = vcenter.endpoint;
  objects.merge(moRef('VirtualMachine', 'vm-11'), 'runtime', { powerState: 'asleep' } as DataObject);
  assert.deepEqual(violations, ['vm-11.runtime.powerState: "asleep" is no value of VirtualMachinePowerState']);
});
