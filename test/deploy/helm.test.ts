/** The Helm chart: rendered in several ways, held to Kubernetes' own schemas, to its values' schema, and its Redis to what LMAS wants. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { Redis } from 'ioredis';
import { parse } from 'yaml';
import { z } from 'zod';
import { readConfig, unknownSettings } from '../../apps/orchestrator/src/config.ts';
import { examineDurability } from '../../apps/orchestrator/src/redis/durability.ts';
import { NO_CORE_DUMPS } from './core-dumps.ts';
import { CHART, isThere, type Manifest, renderChart } from './helm/chart.ts';
import { refusedValues, unknownFields } from './helm/kubernetes.ts';

const skip = isThere() ? false : 'Needs golang-go and golang-github-masterminds-sprig-dev.';
const read = (file: string): string => readFileSync(path.join(CHART, file), 'utf8');

const EVERYTHING = {
  settings: { LMAS_LOG_LEVEL: 'debug', LMAS_CONCURRENCY: 4 },
  tls: { existingSecret: 'lmas-tls' },
  oidc: { existingConfigMap: 'lmas-oidc', key: 'provider.json' },
  extraVolumes: [{ name: 'ca', configMap: { name: 'ca' } }],
  extraVolumeMounts: [{ name: 'ca', mountPath: '/run/ca', readOnly: true }],
  imagePullSecrets: [{ name: 'registry' }],
  ingress: { enabled: true, className: 'nginx', host: 'lmas.example.org', tlsSecret: 'web', annotations: { a: 'b' } },
  networkPolicy: { apiFrom: [{ namespaceSelector: { matchLabels: { team: 'portal' } } }], egressCidrs: ['10.0.0.0/8'] },
  redis: { storage: { className: 'fast' } },
  ...{ serviceAccount: { annotations: { a: 'b' } }, podAnnotations: { a: 'b' }, nodeSelector: { disk: 'ssd' } },
  tolerations: [{ key: 'dedicated', operator: 'Exists', effect: 'NoSchedule' }],
};
const NOTHING = {
  redis: { enabled: false },
  networkPolicy: { enabled: false },
  podDisruptionBudget: { enabled: false },
};

const podSchema = z.looseObject({
  automountServiceAccountToken: z.literal(false),
  securityContext: z.looseObject({
    runAsNonRoot: z.literal(true),
    runAsUser: z.int().min(1),
    seccompProfile: z.object({ type: z.literal('RuntimeDefault') }),
  }),
  containers: z.tuple([
    z.looseObject({
      securityContext: z.strictObject({
        allowPrivilegeEscalation: z.literal(false),
        readOnlyRootFilesystem: z.literal(true),
        capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
      }),
      args: z.array(z.string()).optional(),
      command: z.array(z.string()).optional(),
      env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })),
      startupProbe: z.looseObject({}),
      livenessProbe: z.looseObject({}),
      readinessProbe: z.looseObject({}),
      resources: z.object({ requests: z.looseObject({}), limits: z.looseObject({ memory: z.string() }) }),
      volumeMounts: z.array(z.looseObject({ name: z.string() })),
    }),
  ]),
  volumes: z.array(z.looseObject({ name: z.string() })),
});
const workloadSchema = z.looseObject({
  spec: z.looseObject({
    selector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
    template: z.looseObject({ metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }), spec: podSchema }),
  }),
});

const ofKind = (manifests: readonly Manifest[], ...kinds: string[]) =>
  manifests.filter(({ kind }) => kinds.includes(kind));
const podOf = (workload: Manifest) => workloadSchema.parse(workload).spec.template.spec;

test('Kubernetes’ schemas take every object, and know every field of it', { skip, timeout: 120_000 }, async () => {
  // The models are found from beside this file.
  const directory = mkdtempSync(path.join(import.meta.dirname, '.helm-'));
  try {
    const all = [{}, EVERYTHING, NOTHING].flatMap((values) => renderChart(values).manifests);
    assert.deepEqual(await refusedValues(all), []);
    assert.deepEqual(unknownFields(all, directory), []);
    // What the two of them are there for.
    const [deployment] = ofKind(all, 'Deployment');
    const wrong = structuredClone(deployment) as Manifest & { spec: { replicas: unknown; replica?: unknown } };
    wrong.spec.replicas = 'two';
    assert.equal((await refusedValues([wrong])).length, 1);
    wrong.spec.replicas = 2;
    wrong.spec.replica = 2;
    assert.match(unknownFields([wrong], directory).join(), /"replica"' does not exist/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('every process is shut tight, probed, bounded, and chosen by its own labels', { skip }, () => {
  for (const values of [{}, EVERYTHING]) {
    const { manifests } = renderChart(values);
    const workloads = ofKind(manifests, 'Deployment', 'StatefulSet');
    assert.deepEqual(
      workloads.map(({ metadata }) => metadata.name).sort(),
      ['api', 'redis', 'scheduler', 'worker'].map((part) => `prod-lmas-${part}`),
    );
    for (const workload of workloads) {
      const { selector, template } = workloadSchema.parse(workload).spec;
      for (const [name, value] of Object.entries(selector.matchLabels))
        assert.equal(template.metadata.labels[name], value);
      assert.ok(!('app.kubernetes.io/version' in selector.matchLabels), 'a selector never changes');
      const [{ volumeMounts }] = template.spec.containers;
      const claims = workload.kind === 'StatefulSet' ? ['data'] : [];
      const volumes = [...template.spec.volumes.map(({ name }) => name), ...claims];
      for (const { name } of volumeMounts) assert.ok(volumes.includes(name), name);
    }
    const names = manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    assert.deepEqual(names, [...new Set(names)]);
  }
});

test('its processes have the settings of their roles, and no others', { skip }, () => {
  for (const values of [{}, EVERYTHING]) {
    for (const deployment of ofKind(renderChart(values).manifests, 'Deployment')) {
      const [{ env, args = [] }] = podOf(deployment).containers;
      const secret = {
        REDIS_URL: 'redis://prod-lmas-redis:6379',
        LMAS_MASTER_KEY: Buffer.alloc(32).toString('base64'),
      };
      const settings = Object.fromEntries(
        env.map(({ name, value }) => [name, value ?? secret[name as keyof typeof secret]]),
      );
      assert.deepEqual(unknownSettings(settings), []);
      const config = readConfig({ ...settings, LMAS_ROLE: args[1] ?? '' });
      assert.deepEqual([config.role, config.host], [deployment.metadata.name.replace('prod-lmas-', ''), '0.0.0.0']);
    }
  }
});

test('whose tokens are accepted is read from the ConfigMap that is named', { skip }, () => {
  const of = (values: object) => ofKind(renderChart(values).manifests, 'Deployment').map(podOf);
  const fileOf = ({ containers: [{ env }] }: z.infer<typeof podSchema>) =>
    env.find(({ name }) => name === 'LMAS_OIDC_FILE')?.value;
  assert.deepEqual(of({}).map(fileOf), [undefined, undefined, undefined]);
  for (const pod of of(EVERYTHING)) {
    assert.equal(fileOf(pod), '/run/oidc/provider.json');
    assert.partialDeepStrictEqual(pod, {
      containers: [{ volumeMounts: [{ name: 'oidc', mountPath: '/run/oidc', readOnly: true }, { name: 'ca' }] }],
      volumes: [{ name: 'oidc', configMap: { name: 'lmas-oidc' } }, { name: 'ca' }],
    });
  }
});

test('a budget and a policy for each; of the Redis nobody else is let near', { skip }, () => {
  const { manifests } = renderChart({});
  const named = (kind: string) =>
    ofKind(manifests, kind)
      .map(({ metadata }) => metadata.name)
      .sort();
  const roles = ['api', 'scheduler', 'worker'].map((part) => `prod-lmas-${part}`);
  assert.deepEqual(named('PodDisruptionBudget'), roles);
  assert.deepEqual(named('NetworkPolicy'), [roles[0], 'prod-lmas-redis', ...roles.slice(1)]);
  const policy = ofKind(manifests, 'NetworkPolicy').find(({ metadata }) => metadata.name === 'prod-lmas-redis');
  const { spec } = z
    .looseObject({
      spec: z.looseObject({
        egress: z.tuple([]),
        ingress: z.array(z.looseObject({ from: z.array(z.unknown()).min(1) })),
      }),
    })
    .parse(policy);
  assert.equal(spec.ingress.length, 1);
  assert.deepEqual(ofKind(renderChart(NOTHING).manifests, 'PodDisruptionBudget', 'NetworkPolicy', 'StatefulSet'), []);
});

test('its Redis loses nothing, and opens to its password alone', { skip, timeout: 30_000 }, async () => {
  const [redisSet] = ofKind(renderChart({}).manifests, 'StatefulSet');
  assert.ok(redisSet !== undefined);
  const [{ command = [] }] = podOf(redisSet).containers;
  const directory = mkdtempSync(path.join(tmpdir(), 'lmas-helm-'));
  const [program = '', ...args] = command.map((word) => (word === '/data' ? directory : word));
  const socket = path.join(directory, 'redis.sock');
  const server = spawn(program, [...args, '--port', '0', '--unixsocket', socket], {
    stdio: 'ignore',
    env: { ...process.env, REDISCLI_AUTH: 'letters4and2digits' },
  });
  const options = { path: socket, retryStrategy: () => 50, maxRetriesPerRequest: null };
  const redis = new Redis({ ...options, password: 'letters4and2digits' });
  const stranger = new Redis({ path: socket, lazyConnect: true, maxRetriesPerRequest: 0 });
  for (const one of [redis, stranger]) one.on('error', () => undefined); // not there yet
  try {
    assert.deepEqual(await examineDurability(redis, 'socket'), { complaints: [], warnings: [] });
    await assert.rejects(stranger.get('x'), /NOAUTH/);
    // The command line, which others can read, does not show it.
    assert.doesNotMatch(readFileSync(`/proc/${server.pid}/cmdline`, 'utf8'), /letters4/);
    assert.match(readFileSync(`/proc/${server.pid}/limits`, 'utf8'), NO_CORE_DUMPS);
  } finally {
    for (const one of [redis, stranger]) one.disconnect();
    const ended = once(server, 'exit');
    server.kill();
    await ended;
    rmSync(directory, { recursive: true });
  }
});

test('the schema of its values takes its own and refuses what cannot be', () => {
  const validate = new Ajv({ allErrors: true, strict: true, strictTypes: false, strictRequired: false }).compile(
    JSON.parse(read('values.schema.json')),
  );
  const defaults = parse(read('values.yaml')) as Record<string, object>;
  const withDefaults = (values: Record<string, object>) =>
    Object.fromEntries(
      [...Object.keys(defaults), ...Object.keys(values)].map((name) => {
        const [before, after] = [defaults[name], values[name]];
        const merges = after !== undefined && !Array.isArray(after) && typeof after === 'object';
        return [name, merges ? { ...before, ...after } : (after ?? before)];
      }),
    );
  for (const values of [{}, EVERYTHING, NOTHING])
    assert.ok(validate(withDefaults(values)), JSON.stringify(validate.errors));
  for (const wrong of [
    { replicaCount: { api: 2 } },
    { api: { replicas: -1 } },
    { settings: { LMAS_ROLE: 'api' } },
    { settings: { log_level: 'info' } },
    { ingress: { enabled: true } },
    { masterKey: { existingSecret: '' } },
    { redis: { storage: { size: 'large' } } },
  ]) {
    assert.ok(!validate(withDefaults(wrong)), JSON.stringify(wrong));
  }
});

test('chart and program are of one version; without a host there is no ingress', { skip }, () => {
  const { appVersion } = parse(read('Chart.yaml')) as { appVersion: string };
  const { version } = JSON.parse(readFileSync(path.join(CHART, '../../../package.json'), 'utf8')) as {
    version: string;
  };
  assert.equal(appVersion, version);
  assert.throws(() => renderChart({ ingress: { enabled: true } }), /ingress\.host is needed/);
  assert.match(renderChart({}).notes, /cross the cluster/);
  assert.doesNotMatch(renderChart(EVERYTHING).notes, /cross the cluster/);
});
