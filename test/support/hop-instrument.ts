import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type TypeScript from 'typescript';
import { ts } from './typescript.js';

/** What stands in for objects of the language and of Node in a sealed thread: to whoever reads the host it is `Buffer.from` or `toString`. */
const LIKE_BUILT_INS = new Set(['template/driver-buffers.js', 'template/freeze-shared.js', 'template/seal-realm.js']);

/** Writes a copy of each file below `from` in which every function tells the tracer that it is entered. Once: the compiler is large, threads are many. */
export function instrumentAll(from: string, to: string): void {
  const files = readdirSync(from, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js'));
  for (const file of files) {
    if (LIKE_BUILT_INS.has(file)) continue;
    mkdirSync(dirname(join(to, file)), { recursive: true });
    writeFileSync(join(to, file), instrument(readFileSync(join(from, file), 'utf8'), file));
  }
}

interface Insertion {
  readonly at: number;
  readonly text: string;
}

function instrument(source: string, file: string): string {
  const parsed = ts.createSourceFile(file, source, ts.ScriptTarget.ESNext, true);
  const insertions: Insertion[] = [];
  const visit = (node: TypeScript.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined)
      insertions.push(...callIn(node, node.body));
    ts.forEachChild(node, visit);
  };
  const callIn = (node: TypeScript.SignatureDeclaration, body: TypeScript.Node): readonly Insertion[] => {
    const entered = `globalThis.bedsHopTracer?.(${JSON.stringify(file)}, ${JSON.stringify(nameOf(node, parsed))})`;
    if (ts.isBlock(body)) return [{ at: body.getStart() + 1, text: `${entered};` }];
    return [
      { at: body.getStart(), text: `(${entered}, ` },
      { at: body.end, text: ')' },
    ];
  };
  visit(parsed);
  let text = source;
  for (const { at, text: added } of insertions.sort((a, b) => b.at - a.at))
    text = text.slice(0, at) + added + text.slice(at);
  return text;
}

/** Its own name, or the line where it stands. */
function nameOf(node: TypeScript.SignatureDeclaration, file: TypeScript.SourceFile): string {
  if (ts.isConstructorDeclaration(node)) return 'constructor';
  if (node.name !== undefined) return node.name.getText();
  return `line ${String(file.getLineAndCharacterOfPosition(node.getStart()).line + 1)}`;
}
