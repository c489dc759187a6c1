/** Plans made into VMs, and every reason why that cannot be done; the way back; how long it takes. From played surveys. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Inventory, VmSummary } from '@lmas/plugin-api';
import { planBodySchema } from '../schemas/plan.ts';
import type { Endpoint } from '../sites/sites.ts';
import { forecast } from './forecast.ts';
import { requestFor } from './ordered-migrations.ts';
import { newRun, type PlanBody, type PlanItem } from './record.ts';
import { resolve } from './resolve.ts';
import { reverseOf, reversePlan } from './reverse.ts';
import type { Survey } from './survey.ts';

const GIB = 2 ** 30;
const vm = (name: string, more: Partial<VmSummary> = {}): VmSummary => ({
  ...{ id: `id-${name}`, name, presence: 'running', memoryBytes: GIB, vcpus: 1, managedBy: null },
  disks: [{ name: 'vda', location: `/var/vms/${name}.qcow2`, sizeBytes: 1, readOnly: false }],
  networks: ['lan'],
  ...more,
});
const inventory = (vms: VmSummary[], networks = ['lan'], freeGib = 8): Inventory => ({
  host: { name: 'h', version: '1', cpus: 8, memoryBytes: 16 * GIB, memoryFreeBytes: freeGib * GIB },
  ...{ networks, vms },
});

function surveyOf(hosts: Record<string, { site: string; plugin?: string; has: Inventory | string }>): Survey {
  const endpoints = new Map(
    Object.entries(hosts).map(([id, { site, plugin = 'kvm' }]) => [
      id,
      {
        id,
        site,
        plugin,
        credential: 'c',
        config: {},
        cordonedAt: null,
        createdAt: '2026-01-01T00:00:00.000Z',
      } satisfies Endpoint,
    ]),
  );
  const inventories = new Map(
    Object.entries(hosts).map(([id, { has }]) => [id, typeof has === 'string' ? { unanswered: has } : has]),
  );
  return { endpoints, inventories, sites: new Set(Object.values(hosts).map(({ site }) => site)) };
}
const plan = (vms: object[], more: object = {}): PlanBody => planBodySchema.parse({ waves: [{ vms }], ...more });
const one = (name: string, more: object = {}) => ({
  kind: 'vm',
  vm: name,
  source: { endpoint: 'a1' },
  destination: { site: 'b' },
  ...more,
});
const reasons = (definition: PlanBody, survey: Survey) =>
  resolve(definition, survey).issues.map(({ message }) => message);

test('a site’s endpoints are filled by what memory they have left; what fits nowhere is told', () => {
  const survey = surveyOf({
    a1: {
      site: 'a',
      has: inventory([
        vm('one', { memoryBytes: 3 * GIB }),
        vm('two', { memoryBytes: 3 * GIB }),
        vm('three', { memoryBytes: 3 * GIB }),
      ]),
    },
    b1: { site: 'b', has: inventory([], ['lan'], 5) },
    b2: { site: 'b', has: inventory([], ['lan'], 4) },
    b3: { site: 'b', plugin: 'xen', has: inventory([], ['lan'], 99) },
  });
  const all = plan([{ kind: 'host', source: 'a1', destination: { site: 'b' } }]);
  const { items, issues } = resolve(all, survey);
  assert.deepEqual(
    items.map(({ vm, destination }) => [vm.name, destination.endpoint]),
    [
      ['one', 'b1'],
      ['three', 'b2'],
    ],
  );
  assert.match(issues[0]?.message ?? '', /no endpoint of site b has 3072 MiB free for two/);
});

test('networks and disks are mapped by the longest beginning; a mapping that misses one is refused', () => {
  const survey = surveyOf({
    a1: { site: 'a', has: inventory([vm('web', { networks: ['lan', 'dmz', 'shared'] })]) },
    b1: { site: 'b', has: inventory([], ['lan-b', 'shared']) },
  });
  const mapping = {
    source: 'a',
    destination: 'b',
    networks: { lan: 'lan-b' },
    storage: { '/var': '/other', '/var/vms': '/srv' },
  };
  assert.deepEqual(reasons(plan([one('web')], { mappings: [mapping] }), survey), [
    'the mapping from a to b misses dmz of web',
  ]);
  const whole = { ...mapping, networks: { lan: 'lan-b', dmz: 'dmz-b' } };
  const [item] = resolve(plan([one('web')], { mappings: [whole] }), survey).items;
  assert.deepEqual(
    [item?.networkMap, item?.diskMap],
    [{ lan: 'lan-b', dmz: 'dmz-b', shared: 'shared' }, { vda: '/srv/web.qcow2' }],
  );
  assert.ok(item !== undefined);
  assert.deepEqual(reverseOf(item), {
    networkMap: { 'lan-b': 'lan', 'dmz-b': 'dmz', shared: 'shared' },
    diskMap: { vda: '/var/vms/web.qcow2' },
  });
  const folded = { ...item, networkMap: { lan: 'one', dmz: 'one' } };
  assert.match(JSON.stringify(reverseOf(folded)), /which is which on the way back, nobody can tell/);
});

test('a network that keeps its name and one that is mapped to it became one: there is no way back', () => {
  const survey = surveyOf({
    a1: {
      site: 'a',
      has: inventory([vm('web', { networks: ['lan', 'dmz'] }), vm('db', { networks: ['lan', 'own'] })]),
    },
    b1: { site: 'b', has: inventory([], ['dmz', 'own']) },
  });
  const mappings = [{ source: 'a', destination: 'b', networks: { lan: 'dmz' } }];
  const [web, db] = resolve(plan([one('web'), one('db')], { mappings }), survey).items;
  assert.ok(web !== undefined && db !== undefined);
  assert.deepEqual(web.networkMap, { lan: 'dmz', dmz: 'dmz' });
  assert.match(JSON.stringify(reverseOf(web)), /web: several of its networks became dmz/);
  assert.deepEqual(reverseOf(db), { networkMap: { dmz: 'lan', own: 'own' }, diskMap: {} });
  const [unmapped] = resolve(plan([one('web')]), survey).items;
  assert.deepEqual(unmapped?.networkMap, {}, 'nothing is mapped: the checks say what is missing');
});

test('names: unknown, ambiguous, twice, at a host that does not answer; powered off', () => {
  const survey = surveyOf({
    a1: { site: 'a', has: inventory([vm('web'), vm('off', { presence: 'stopped' })]) },
    a2: { site: 'a', has: inventory([vm('web', { id: 'id-other' })]) },
    a3: { site: 'a', has: 'no route to it' },
    b1: { site: 'b', has: inventory([]) },
    b2: { site: 'b', plugin: 'xen', has: inventory([]) },
  });
  assert.deepEqual(reasons(plan([one('nobody')]), survey), ['there is no VM nobody at a1']);
  assert.match(reasons(plan([one('web', { source: { site: 'a' } })]), survey).join(), /several VMs web at a1, a2, a3/);
  assert.match(reasons(plan([one('web'), one('id-web')]), survey).join(), /web is in waves.0.vms.0 already/);
  assert.match(reasons(plan([one('web', { destination: { endpoint: 'b2' } })]), survey).join(), /a1 is kvm, b2 is xen/);
  assert.match(reasons(plan([one('web', { destination: { endpoint: 'a1' } })]), survey).join(), /a1 is where it runs/);
  const silent = resolve(plan([one('web', { source: { endpoint: 'a3' } })]), survey).issues;
  assert.ok(
    silent.every(({ passes }) => passes === true),
    'another time it may answer',
  );
  assert.match(reasons(plan([one('off')]), survey).join(), /off is stopped at a1: plugin kvm moves running VMs only/);
  const [left] = resolve(plan([one('off')], { poweredOff: 'leave' }), survey).items;
  assert.deepEqual([left?.state, left?.findings[0]?.code], ['left', 'POWERED_OFF']);
});

test('a host of a site that is silent: what runs elsewhere moves; the rest is refused, or left if the plan says so', () => {
  const survey = surveyOf({
    a1: { site: 'a', has: inventory([vm('web', { labels: ['dr'] }), vm('off', { presence: 'stopped' })]) },
    a2: { site: 'a', has: 'no route to it' },
    b1: { site: 'b', has: inventory([]) },
  });
  const named = (name: string) => resolve(plan([one(name, { source: { site: 'a' } })]), survey);
  assert.deepEqual([named('web').issues, named('web').items.length], [[], 1]);
  assert.match(JSON.stringify(named('off').issues), /a2 cannot be asked/, 'it may run where nobody answers');
  const messages = (name: string) => named(name).issues.map(({ message }) => message);
  const silence = 'a2 cannot be asked: no route to it';
  assert.deepEqual(messages('nobody'), [silence, 'nobody was not found at those that answer: a1']);
  for (const which of [
    { kind: 'site', source: 'a' },
    { kind: 'label', label: 'dr', source: { site: 'a' } },
  ]) {
    const selector = { ...which, destination: { site: 'b' }, except: ['off'] };
    const refused = resolve(plan([selector]), survey);
    assert.deepEqual(
      refused.issues.map(({ message }) => message),
      [`${silence} (\`silent: leave\` goes on without what it has)`],
    );
    const { issues, items, silent } = resolve(plan([selector], { silent: 'leave' }), survey);
    assert.deepEqual([issues, items.map(({ vm }) => vm.name)], [[], ['web']], which.kind);
    assert.deepEqual(silent, [
      {
        ...{ path: 'waves.0.vms.0.source', code: 'ENDPOINT_SILENT', endpoint: 'a2' },
        message: 'a2 cannot be asked: no route to it. What it has is left.',
      },
    ]);
  }
  const host = plan([{ kind: 'host', source: 'a2', destination: { site: 'b' } }], { silent: 'leave' });
  assert.deepEqual(reasons(host, survey), [silence], 'nothing would be left of it');
  assert.deepEqual(reasons(plan([one('web', { source: { endpoint: 'a2' } })]), survey), [silence]);
  const mistyped = [{ kind: 'site', source: 'a', destination: { site: 'b' }, except: ['off', 'of'], first: ['wep'] }];
  assert.deepEqual(reasons(plan(mistyped, { silent: 'leave' }), survey), [], 'it may be there');
});

test('all of a site is sent nowhere else in it; a name that nobody has is refused for good once all have answered', () => {
  const survey = surveyOf({
    a1: { site: 'a', has: inventory([vm('web')]) },
    a2: { site: 'a', has: inventory([]) },
    b1: { site: 'b', has: inventory([]) },
  });
  for (const destination of [{ site: 'a' }, { endpoint: 'a2' }]) {
    const { issues, items } = resolve(plan([{ kind: 'site', source: 'a', destination }]), survey);
    assert.deepEqual(issues, [{ path: 'waves.0.vms.0.destination', message: 'site a cannot be emptied into itself' }]);
    assert.deepEqual(items, []);
    const host = plan([{ kind: 'host', source: 'a1', destination }]);
    assert.deepEqual(resolve(host, survey).items[0]?.destination.endpoint, 'a2', 'a host may be');
  }
  const mistyped = [{ kind: 'host', source: 'a1', destination: { site: 'b' }, except: ['wep'], first: ['wepp'] }];
  assert.deepEqual(resolve(plan(mistyped), survey).issues, [
    { path: 'waves.0.vms.0.except', message: 'there is no wep to except' },
    { path: 'waves.0.vms.0.first', message: 'there is no wepp to come first' },
  ]);
});

test('the order of many: those that come first, then by name, or by memory', () => {
  const survey = surveyOf({
    a1: { site: 'a', has: inventory([vm('web-10', { memoryBytes: 1 }), vm('db'), vm('web-2', { memoryBytes: 2 })]) },
    a2: { site: 'a', has: inventory([vm('app', { memoryBytes: 3 })]) },
    b1: { site: 'b', has: inventory([]) },
  });
  const chosen = (more: object) =>
    resolve(plan([{ kind: 'site', source: 'a', destination: { site: 'b' }, ...more }]), survey);
  const names = (more: object) => chosen(more).items.map(({ vm }) => vm.name);
  assert.deepEqual(names({}), ['app', 'db', 'web-2', 'web-10']);
  assert.deepEqual(names({ order: 'smallest' }), ['web-10', 'web-2', 'app', 'db']);
  assert.deepEqual(names({ order: 'largest', first: ['web-10', 'id-app'] }), ['web-10', 'app', 'db', 'web-2']);
  const [unknown, ...others] = chosen({ first: ['dc', 'db'] }).issues;
  assert.deepEqual(
    [unknown?.path, unknown?.message, others],
    ['waves.0.vms.0.first', 'there is no dc to come first', []],
  );
  assert.match(
    JSON.stringify(chosen({ first: ['db'], except: ['db'] }).issues),
    /db cannot come first: it is excepted/,
  );
});

test('a VM that several hosts define is the one that runs', () => {
  const clustered = (a1: VmSummary['presence'], a2: VmSummary['presence']) =>
    surveyOf({
      a1: { site: 'a', has: inventory([vm('web', { presence: a1, labels: a1 === 'running' ? ['dr'] : [] })]) },
      a2: { site: 'a', has: inventory([vm('web', { presence: a2, labels: a2 === 'running' ? ['dr'] : [] })]) },
      b1: { site: 'b', has: inventory([]) },
    });
  const site = { kind: 'site', source: 'a', destination: { site: 'b' } };
  for (const selector of [site, { kind: 'label', label: 'dr', source: { site: 'a' }, destination: { site: 'b' } }]) {
    const { items, issues } = resolve(plan([selector]), clustered('stopped', 'running'));
    assert.deepEqual([issues, items.map(({ source }) => source.endpoint)], [[], ['a2']], selector.kind);
  }
  const off = resolve(plan([site], { poweredOff: 'leave' }), clustered('stopped', 'stopped'));
  assert.deepEqual([off.issues, off.items.map(({ source }) => source.endpoint)], [[], ['a1']]);
  assert.match(reasons(plan([site]), clustered('running', 'running')).join(), /web runs at a2 as well/);
});

test('one that is powered off is moved where its plugin can and the plan says so; its memory is asked of nobody', () => {
  const off = { presence: 'stopped', memoryBytes: 99 * GIB } as const;
  const survey: Survey = {
    ...surveyOf({
      a1: { site: 'a', has: inventory([vm('off', off)]) },
      b1: { site: 'b', has: inventory([]) },
      x1: { site: 'a', plugin: 'xen', has: inventory([vm('xen', off)]) },
      x2: { site: 'b', plugin: 'xen', has: inventory([]) },
    }),
    movesPoweredOff: new Set(['a1', 'b1']),
  };
  const both = [one('off'), one('xen', { source: { endpoint: 'x1' } })];
  const { items, issues } = resolve(plan(both, { poweredOff: 'move' }), survey);
  assert.deepEqual(issues, []);
  assert.deepEqual(
    items.map(({ state, powerState, findings, destination }) => [
      ...[state, powerState, findings[0]?.severity, destination.endpoint],
    ]),
    [
      ['waiting', 'off', undefined, 'b1'], // its checks say it
      ['left', 'running', 'warning', 'x1'],
    ],
  );
  assert.match(reasons(plan([one('off')]), survey).join(), /say `poweredOff: move` or `leave`/);
  const [left] = resolve(plan([one('off')], { poweredOff: 'leave' }), survey).items;
  assert.deepEqual([left?.state, left?.powerState], ['left', 'running']);
  assert.doesNotMatch(left?.findings[0]?.message ?? '', /not supported/);
});

test('one that is powered off is not moved while a host of its site is silent: it may run there', () => {
  const survey: Survey = {
    ...surveyOf({
      a1: { site: 'a', has: inventory([vm('off', { presence: 'stopped' })]) },
      a2: { site: 'a', has: 'no route to it' },
      b1: { site: 'b', has: inventory([]) },
    }),
    movesPoweredOff: new Set(['a1', 'b1']),
  };
  const site = { kind: 'site', source: 'a', destination: { site: 'b' } };
  const [item] = resolve(plan([site], { poweredOff: 'move', silent: 'leave' }), survey).items;
  assert.deepEqual([item?.state, item?.findings[0]?.severity], ['left', 'warning']);
  assert.match(item?.findings[0]?.message ?? '', /may run at a2, which does not answer/);
});

test('one that another host of its site knows as well is not moved: it runs there, or nobody knows which counts', () => {
  const known = (a2: VmSummary['presence'], more: Parameters<typeof surveyOf>[0] = {}): Survey => ({
    ...surveyOf({
      a1: { site: 'a', has: inventory([vm('web', { presence: 'stopped' })]) },
      a2: { site: 'a', has: inventory([vm('web', { presence: a2 })]) },
      b1: { site: 'b', has: inventory([]) },
      ...more,
    }),
    movesPoweredOff: new Set(['a1', 'a2', 'b1']),
  });
  const host = { kind: 'host', source: 'a1', destination: { site: 'b' } };
  const site = { kind: 'site', source: 'a', destination: { site: 'b' } };
  const ways: [object, Survey, RegExp][] = [
    [host, known('running'), /runs at a2: what is here was left over/],
    [one('web'), known('running'), /runs at a2/],
    [one('web'), known('paused'), /is paused at a2/],
    [host, known('stopped'), /a2 can start it as well/],
    [site, known('stopped'), /a2 can start it as well/],
    [
      host,
      known('running', {
        a2: { site: 'a', has: inventory([]) },
        c1: { site: 'c', has: inventory([vm('web')]) },
      }),
      /runs at c1/,
    ],
  ];
  for (const [selector, survey, says] of ways) {
    const { items, issues } = resolve(plan([selector], { poweredOff: 'move' }), survey);
    assert.deepEqual([issues, items.map(({ state }) => state)], [[], ['left']]);
    assert.match(items[0]?.findings[0]?.message ?? '', says);
  }
  const [moved] = resolve(plan([site], { poweredOff: 'move' }), known('running')).items;
  assert.deepEqual([moved?.source.endpoint, moved?.state], ['a2', 'waiting'], 'the one that runs moves live');
});

test('one that is paused, or arrives, is not powered off: it is refused or left, and it is said what it is', () => {
  const survey: Survey = {
    ...surveyOf({
      a1: { site: 'a', has: inventory([vm('p', { presence: 'paused' }), vm('i', { presence: 'incoming' })]) },
      b1: { site: 'b', has: inventory([]) },
    }),
    movesPoweredOff: new Set(['a1', 'b1']),
  };
  const both = [one('p'), one('i')];
  for (const poweredOff of ['move', 'leave']) {
    const { items } = resolve(plan(both, { poweredOff }), survey);
    assert.deepEqual(
      items.map(({ state, findings }) => [state, findings[0]?.code]),
      [
        ['left', 'NOT_RUNNING'],
        ['left', 'NOT_RUNNING'],
      ],
    );
    assert.match(items[0]?.findings[0]?.message ?? '', /is paused: its guest stands still/);
    assert.match(items[1]?.findings[0]?.message ?? '', /is arriving/);
  }
  assert.equal(reasons(plan(both), survey).length, 2);
});

test('by label, wherever they run at a site', () => {
  const survey = surveyOf({
    a1: { site: 'a', has: inventory([vm('web', { labels: ['tier=web', 'dr'] }), vm('test')]) },
    a2: { site: 'a', has: inventory([vm('db', { labels: ['dr'] })]) },
    b1: { site: 'b', has: inventory([]) },
  });
  const chosen = (label: string, except: string[] = []) => {
    const selector = { kind: 'label', label, source: { site: 'a' }, destination: { site: 'b' }, except };
    return resolve(plan([selector]), survey);
  };
  assert.deepEqual(
    chosen('dr').items.map(({ vm, source }) => [vm.name, source.endpoint]),
    [
      ['db', 'a2'],
      ['web', 'a1'],
    ],
  );
  assert.deepEqual(
    chosen('dr', ['db']).items.map(({ vm }) => vm.name),
    ['web'],
  );
  assert.equal(chosen('none').issues[0]?.message, 'no VM bears the label none');
  const unlabelled = { a1: { site: 'a', has: inventory([vm('web')]) }, b1: { site: 'b', has: inventory([]) } };
  const selector = { kind: 'label', label: 'dr', source: { site: 'a' }, destination: { site: 'b' } };
  assert.match(
    reasons(plan([selector]), surveyOf(unlabelled)).join(),
    /bears the label dr: the VMs of that hypervisor have none/,
  );
});

test('what fits one by one and not together is told: a warning, or a refusal where memory is checked or cannot be overcommitted', () => {
  const many = ['one', 'two', 'three'].map((name) => vm(name, { memoryBytes: 32 * GIB }));
  const survey = (plugin: string, freeGib = 64) =>
    surveyOf({
      a1: { site: 'a', plugin, has: inventory([...many, vm('small', { memoryBytes: GIB })], ['lan'], 0) },
      b1: { site: 'b', plugin, has: inventory([vm('back', { memoryBytes: 64 * GIB })], ['lan'], freeGib) },
    });
  const there = { source: { endpoint: 'a1' }, destination: { endpoint: 'b1' } };
  const all = ['one', 'two', 'three', 'small'].map((name) => one(name, there));
  const told = (definition: PlanBody, plugin: string, freeGib?: number) =>
    resolve(definition, survey(plugin, freeGib)).items.flatMap(({ vm, findings }) =>
      findings.map(({ severity, code, message }) => `${severity} ${code} ${vm.name}: ${message}`),
    );
  const text = (sum: number) => `this plan sends VMs of ${sum} MiB to b1, where 65536 MiB are free.`;
  assert.deepEqual(told(plan(all), 'kvm'), [
    `warning MEMORY_SHORT_TOGETHER three: With three ${text(98_304)}`,
    `warning MEMORY_SHORT_TOGETHER small: With small ${text(99_328)}`,
  ]);
  const refused = [
    `blocker MEMORY_SHORT_TOGETHER three: With three ${text(98_304)}`,
    `blocker MEMORY_SHORT_TOGETHER small: With small ${text(66_560)}`,
  ];
  assert.deepEqual(told(plan(all), 'xl'), refused);
  assert.deepEqual(told(plan(all, { memory: 'check' }), 'kvm'), refused);
  assert.deepEqual(told(plan(all), 'xen', 97), []);
  const back = one('back', { source: { endpoint: 'b1' }, destination: { endpoint: 'a1' } });
  const freed = planBodySchema.parse({ waves: [{ vms: [back] }, { vms: all }] });
  assert.deepEqual(
    told(freed, 'kvm').map((finding) => finding.slice(0, 34)),
    ['warning MEMORY_SHORT_TOGETHER back'],
    'what leaves makes room for the next wave',
  );
});

test('a plan back: from where each VM is to where it was, in the same order', () => {
  const survey = surveyOf({
    a1: { site: 'a', has: inventory([vm('web'), vm('db')]) },
    b1: { site: 'b', has: inventory([]) },
  });
  const definition = plan([one('db'), one('web')]);
  const run = newRun(
    definition,
    { id: 'r_1', plan: 'p', project: null, mode: 'failover', reverseOf: null },
    '2026-01-01T00:00:00.000Z',
  );
  const items = resolve(definition, survey).items.map(
    (item): PlanItem =>
      item.vm.name === 'db'
        ? { ...item, state: 'moved', keptDisks: ['/var/vms/db.qcow2'] }
        : { ...item, state: 'failed' },
  );
  const back = reversePlan({ ...run, items });
  assert.deepEqual(back.waves[0]?.vms, [
    {
      kind: 'vm',
      vm: 'id-db',
      source: { endpoint: 'b1' },
      destination: { endpoint: 'a1' },
      networkMap: {},
      diskMap: {},
      mayReplace: ['/var/vms/db.qcow2'],
    },
  ]);
  assert.deepEqual(planBodySchema.parse(back), back);
  const returned = surveyOf({
    a1: { site: 'a', has: inventory([]) },
    b1: { site: 'b', has: inventory([vm('db')]) },
  });
  const [there] = resolve(back, returned).items;
  assert.ok(there !== undefined);
  assert.deepEqual(requestFor({ ...run, definition: back }, there).mayReplace, ['/var/vms/db.qcow2']);
  assert.throws(() => reversePlan({ ...run, items: items.map((item) => ({ ...item, state: 'failed' as const })) }), {
    code: 'INVALID_PLAN',
  });
});

test('a forecast: one link carries one after the other, two links side by side; what is not known stays so', () => {
  const predicted = (wave: number, site: string, low: number, high: number | null) =>
    ({
      wave,
      state: 'waiting',
      vm: { id: site, name: site },
      source: { endpoint: 'a', site: 'a' },
      destination: { endpoint: 'b', site },
      prediction: {
        durationMs: { low, high },
        downtimeMs: null,
        passes: 1,
        convergence: 'yes',
        rateBytesPerSec: 1,
        dirtyRateBytesPerSec: 1,
      },
    }) as PlanItem;
  const waves = planBodySchema.parse({
    waves: [{ ...plan([one('x')]).waves[0], afterwards: { pauseMs: 1_000 } }, plan([one('y')]).waves[0]],
  }).waves;
  const items = [
    predicted(0, 'b', 10_000, 20_000),
    predicted(0, 'b', 10_000, 20_000),
    predicted(0, 'c', 5_000, 6_000),
    predicted(1, 'b', 1_000, 2_000),
  ];
  const over = (rtoMs: number, transport: 'tunnel' | 'direct' = 'tunnel') => ({
    waves,
    rtoMs,
    migration: { transport },
  });
  assert.deepEqual(forecast(over(30_000), items).durationMs, { low: 22_000, high: 43_000 });
  assert.equal(forecast(over(30_000), items).fitsRto, 'perhaps');
  assert.equal(forecast(over(43_000), items).fitsRto, 'yes');
  assert.equal(forecast(over(10_000), items).fitsRto, 'no');
  const open = forecast(over(60_000), [...items, predicted(1, 'b', 1_000, null)]);
  assert.deepEqual([open.durationMs, open.fitsRto], [{ low: 23_000, high: null }, 'unknown']);
  assert.match(open.notes.join(), /no upper bound for b/);
  const unknown = [{ ...predicted(0, 'b', 1, 1), prediction: null }];
  assert.match(forecast(over(1_000), unknown).notes.join(), /its link was never measured or set\.$/);
  assert.match(
    forecast(over(1_000, 'direct'), unknown).notes.join(),
    /without a tunnel, and .* nobody has measured\.$/,
  );
});
