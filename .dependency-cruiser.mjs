// The walls of the house: data flows one way, and the imports with it.
//   HTTP, CLI, schedules → migration service → queue → workflow steps → plugin and gateway provisioner → tunnel
const app = 'apps/orchestrator/src';
const gateway = 'apps/gateway/src';
const tests = '\\.test\\.ts$';

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Modules that need each other are one module, or miss a third.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'apps-stand-alone',
      comment: 'Apps talk over the network, through the contracts in packages/; they never import each other.',
      severity: 'error',
      from: { path: '^apps/([^/]+)/', pathNot: tests },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'plugins-know-the-contract-only',
      comment: 'A plugin imports plugin-api and ssh, never an app, the client or another plugin.',
      severity: 'error',
      from: { path: '^plugins/([^/]+)/', pathNot: tests },
      to: { path: '^(apps|plugins|test|packages/(client|gateway-api))/', pathNot: '^plugins/$1/' },
    },
    {
      name: 'packages-stand-below',
      severity: 'error',
      from: { path: '^packages/', pathNot: tests },
      to: { path: '^(apps|plugins|test)/' },
    },
    {
      name: 'nothing-shipped-imports-tests',
      severity: 'error',
      from: { path: '^(apps|plugins|packages)/', pathNot: tests },
      to: { path: '^test/' },
    },
    {
      name: 'only-main-wires',
      comment: 'main.ts (and wiring/ beside it) is the only place that wires objects together, so nothing imports it.',
      severity: 'error',
      from: { path: '^apps/', pathNot: '/bin/' },
      to: { path: '^apps/[^/]+/src/main\\.ts$' },
    },
    {
      name: 'wiring-is-part-of-main',
      comment: 'What wires groups of parts together is known to main.ts and to its like.',
      severity: 'error',
      from: { path: `^${app}/`, pathNot: `^${app}/(main\\.ts|wiring/)` },
      to: { path: `^${app}/wiring/` },
    },
    {
      name: 'only-queue-knows-bullmq',
      severity: 'error',
      from: { path: '^apps/orchestrator/', pathNot: `^${app}/queue/` },
      to: { path: 'node_modules/bullmq' },
    },
    {
      name: 'only-metrics-know-prom-client',
      severity: 'error',
      from: { path: '^apps/orchestrator/', pathNot: `^${app}/observability/` },
      to: { path: 'node_modules/prom-client' },
    },
    {
      name: 'only-tracing-knows-opentelemetry',
      severity: 'error',
      from: { path: '^(apps|packages|plugins)/', pathNot: `^${app}/tracing/` },
      to: { path: 'node_modules/@opentelemetry' },
    },
    {
      name: 'http-calls-services',
      comment: 'Routes never reach below the services.',
      severity: 'error',
      from: { path: `^${app}/http/`, pathNot: tests },
      to: { path: `^${app}/(queue|workflow)/` },
    },
    {
      name: 'only-http-knows-fastify',
      severity: 'error',
      from: { path: `^${app}/`, pathNot: `^${app}/(http/|main\\.ts|openapi-document\\.ts)` },
      to: { path: 'node_modules/fastify' },
    },
    {
      name: 'workflow-does-not-look-up',
      comment: 'Steps know the plugin contract and the gateways, not the queue or the API.',
      severity: 'error',
      from: { path: `^${app}/workflow/`, pathNot: tests },
      to: { path: `^${app}/(queue|http)/` },
    },
    {
      name: 'wire-format-is-pure',
      comment: 'Encoding and decoding do no I/O.',
      severity: 'error',
      from: {
        path: `^(${gateway}/protocol|plugins/kvm/src/rpc)/|^plugins/vmware/src/wire/(data-objects|soap|vi-json|versions)\\.ts`,
        pathNot: tests,
      },
      to: { dependencyTypes: ['core'], path: '^(node:)?(net|tls|fs|http|https|dgram|child_process)' },
    },
    {
      name: 'only-platform-knows-koffi',
      severity: 'error',
      from: { path: '^(apps|packages|plugins)/', pathNot: `^${gateway}/platform/` },
      to: { path: 'node_modules/(koffi|@koromix)' },
    },
    {
      name: 'no-undeclared-dependency',
      severity: 'error',
      from: { path: '^(apps|packages|plugins)/', pathNot: tests },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(node_modules|dist)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.mjs', '.js', '.json'],
    },
  },
};
