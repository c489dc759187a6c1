/**
 * The programs as JavaScript that runs without the source tree and without node_modules: Node strips no types from files that lie
 * under node_modules, and a package has no use for ten thousand small files. Each program lies where its source expects it, with a
 * package.json one directory above, so that it says its version and finds the plugins by the names that LMAS_PLUGINS has by default.
 *
 *   orchestrator/{package.json, lib/*.mjs, swagger-ui/, node_modules/@lmas/plugin-*}    cli/{package.json, lib/main.mjs}
 *   orchestrator/node_modules/@lmas/plugin-xen/dom0/*.py
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { below, type FileEntry, filesBelow, ROOT } from './tree.ts';

const SWAGGER_UI = 'node_modules/@fastify/swagger-ui';

export interface Programs {
  /** Paths relative to the library directory. */
  readonly files: readonly FileEntry[];
  /** Every source file that went in, relative to the root of the checkout. */
  readonly sources: readonly string[];
}

/** Its page and scripts are files that it looks for beside itself, which is nowhere once it is bundled. */
const swaggerUi: Plugin = {
  name: 'swagger-ui',
  setup(context) {
    context.onLoad({ filter: /\/@fastify\/swagger-ui\/(index|lib\/routes)\.js$/ }, ({ path: file }) => {
      const text = readFileSync(file, 'utf8');
      if (!text.includes('__dirname')) throw new Error(`${file} finds its files in another way than it did.`);
      const inside = path.relative(path.join(ROOT, SWAGGER_UI), path.dirname(file));
      return { contents: text.replaceAll('__dirname', `(__swaggerUi + ${JSON.stringify(`/${inside}`)})`) };
    });
  },
};

/** What CommonJS dependencies ask for inside an ES module. */
const BANNER = [
  "import { createRequire as __createRequire } from 'node:module';",
  'const require = __createRequire(import.meta.url);',
  'const __dirname = import.meta.dirname, __filename = import.meta.filename;',
  "const __swaggerUi = import.meta.dirname + '/../swagger-ui';",
].join(' ');

const COMMON = {
  bundle: true,
  platform: 'node',
  target: 'node26',
  format: 'esm',
  outExtension: { '.js': '.mjs' },
  // ssh2 does without these where they are not built, as after every installation without scripts.
  external: ['cpu-features', '*.node'],
  legalComments: 'none',
  write: false,
  metafile: true,
  absWorkingDir: ROOT,
  logLevel: 'silent',
  banner: { js: BANNER },
} as const satisfies BuildOptions;

/** @param at where the outputs go, relative to the library directory */
async function bundle(at: string, options: BuildOptions): Promise<Programs> {
  const outdir = path.join(ROOT, 'out');
  const result = await build({ ...COMMON, ...options, outdir, write: false, metafile: true });
  return {
    files: result.outputFiles.map(({ path: file, contents }) => ({
      ...{ path: `${at}/${path.relative(outdir, file)}`, mode: 0o644 },
      content: Buffer.from(contents),
    })),
    sources: Object.keys(result.metafile.inputs),
  };
}

const manifest = (name: string, version: string, more: object = {}): Buffer =>
  Buffer.from(`${JSON.stringify({ name, version, type: 'module', ...more }, null, 2)}\n`);

const orchestrator = (): Promise<Programs> =>
  bundle('orchestrator/lib', {
    entryPoints: { main: 'apps/orchestrator/src/main.ts' },
    // Tracing is loaded when it is wanted, and only then.
    splitting: true,
    plugins: [swaggerUi],
  });

const cli = (): Promise<Programs> =>
  bundle('cli/lib', {
    stdin: {
      contents: "import { main } from './main.ts'; await main();",
      resolveDir: path.join(ROOT, 'apps/cli/src'),
      loader: 'ts',
    },
    entryNames: 'main',
  });

/** Every plugin of the checkout with all that it exports by name, but for what only tests use. */
async function plugin(name: string, version: string): Promise<Programs> {
  const at = `orchestrator/node_modules/@lmas/plugin-${name}`;
  const text = readFileSync(path.join(ROOT, 'plugins', name, 'package.json'), 'utf8');
  const { exports } = JSON.parse(text) as { exports: Record<string, string> };
  const entries = Object.entries(exports).filter(([subpath]) => subpath !== './testing');
  const outputOf = (subpath: string) => (subpath === '.' ? 'plugin' : subpath.slice('./'.length));
  const { files, sources } = await bundle(at, {
    entryPoints: Object.fromEntries(
      entries.map(([subpath, file]) => [outputOf(subpath), path.join('plugins', name, file)]),
    ),
    splitting: true,
  });
  const outputs = entries.map(([subpath]) => [subpath, `./${outputOf(subpath)}.mjs`]);
  const described = manifest(`@lmas/plugin-${name}`, version, { exports: Object.fromEntries(outputs) });
  const read = below(at, filesReadBy(name));
  return { files: [...files, ...read, { path: `${at}/package.json`, mode: 0o644, content: described }], sources };
}

/**
 * What a plugin reads beside its sources: programs that it runs at hosts. A source names the directory as a neighbour of its
 * own file, and every source is in one file or beside it once it is bundled; so the directory is a neighbour there, too.
 */
function filesReadBy(name: string): FileEntry[] {
  const files = filesBelow(path.join(ROOT, 'plugins', name, 'src'))
    .filter(({ path: file }) => file.endsWith('.py') && !file.endsWith('_test.py'))
    .map((file) => ({ ...file, path: file.path.split('/').slice(-2).join('/') }));
  const names = new Set(files.map(({ path: file }) => file));
  if (names.size !== files.length) throw new Error(`Two programs of plugin ${name} would lie in one place.`);
  return files;
}

/** The page of /docs. */
function swaggerUiFiles(): FileEntry[] {
  return below('orchestrator/swagger-ui/static', filesBelow(path.join(ROOT, SWAGGER_UI, 'static')));
}

export async function buildPrograms(version: string): Promise<Programs> {
  const plugins = readdirSync(path.join(ROOT, 'plugins')).sort();
  const parts = await Promise.all([orchestrator(), cli(), ...plugins.map((name) => plugin(name, version))]);
  return {
    files: [
      ...parts.flatMap(({ files }) => files),
      ...swaggerUiFiles(),
      { path: 'orchestrator/package.json', mode: 0o644, content: manifest('@lmas/orchestrator', version) },
      { path: 'cli/package.json', mode: 0o644, content: manifest('@lmas/cli', version) },
    ],
    sources: parts.flatMap(({ sources }) => sources),
  };
}
