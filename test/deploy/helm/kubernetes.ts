/**
 * What Kubernetes would say of an object: its published schemas (the npm package kubernetes-models has them compiled) for values, and
 * the types made from them, through TypeScript, for fields that there are not.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import type { Manifest } from './chart.ts';

interface Model {
  validate(): void;
}
type Models = Record<string, new (value: unknown) => Model>;

/** `apps/v1` and the core group's `v1` are where the models of them are. */
const modulePath = (apiVersion: string): string => `kubernetes-models/${apiVersion}`;

export async function refusedValues(manifests: readonly Manifest[]): Promise<string[]> {
  const said: string[] = [];
  for (const manifest of manifests) {
    const models = (await import(modulePath(manifest.apiVersion))) as Models;
    const Kind = models[manifest.kind];
    if (Kind === undefined) said.push(`${manifest.apiVersion} has no ${manifest.kind}`);
    else {
      try {
        new Kind(manifest).validate();
      } catch (error) {
        said.push(`${manifest.kind} ${manifest.metadata.name}: ${(error as Error).message}`);
      }
    }
  }
  return said;
}

/** @param directory where a file may be written from which the models are found */
export function unknownFields(manifests: readonly Manifest[], directory: string): string[] {
  const file = path.join(directory, 'manifests.check.ts');
  const lines = manifests.map(
    (manifest, index) =>
      `import type { I${manifest.kind} as T${index} } from '${modulePath(manifest.apiVersion)}';\nexport const m${index}: T${index} = ${JSON.stringify(manifest)};`,
  );
  writeFileSync(file, lines.join('\n'));
  const options: ts.CompilerOptions = {
    ...{ noEmit: true, strict: true, skipLibCheck: true, types: [] },
    ...{ module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext },
  };
  const program = ts.createProgram([file], options);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}
