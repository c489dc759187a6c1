/**
 * The Helm chart as it is rendered: by Go's own templates with the functions that Helm gives them (main.go beside this), since Debian
 * has no helm. The program is built when it is first needed and kept under the hash of its source.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

export const CHART = path.join(import.meta.dirname, '../../../deploy/helm/lmas');
const SOURCE = path.join(import.meta.dirname, 'main.go');
const LIBRARIES = '/usr/share/gocode';

/** A Kubernetes object, as far as every one is the same. */
const manifestSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), labels: z.record(z.string(), z.string()) }),
});
export type Manifest = z.infer<typeof manifestSchema>;

export const isThere = (): boolean =>
  existsSync('/usr/bin/go') && existsSync(path.join(LIBRARIES, 'src/github.com/Masterminds/sprig'));

function built(): string {
  const cache = path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'lmas-lab');
  const hash = createHash('sha256').update(readFileSync(SOURCE)).digest('hex').slice(0, 16);
  const program = path.join(cache, `helm-templates-${hash}`);
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  const temporary = `${program}.${process.pid}`;
  const settings = {
    GO111MODULE: 'off',
    GOPATH: LIBRARIES,
    CGO_ENABLED: '0',
    GOFLAGS: '',
    GOCACHE: path.join(cache, 'go-build'),
  };
  const { status, stderr } = spawnSync('go', ['build', '-o', temporary, SOURCE], {
    encoding: 'utf8',
    env: { ...process.env, ...settings },
  });
  if (status !== 0) throw new Error(`go build: ${stderr}`);
  renameSync(temporary, program);
  return program;
}

/** Every object that a release named `prod` would have. @throws Error with what a template complained of */
export function renderChart(values: object): { manifests: Manifest[]; notes: string } {
  const input = JSON.stringify({ release: 'prod', namespace: 'lmas', values });
  const { status, stdout, stderr } = spawnSync(built(), [CHART], { input, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr.trim());
  const { 'NOTES.txt': notes = '', ...files } = z.record(z.string(), z.string()).parse(JSON.parse(stdout));
  const documents = Object.values(files).flatMap((text) => parseAllDocuments(text, { uniqueKeys: true, strict: true }));
  const manifests = documents.flatMap((document) => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) throw problem;
    const value: unknown = document.toJS();
    return value === null ? [] : [manifestSchema.parse(value)];
  });
  return { manifests, notes };
}
