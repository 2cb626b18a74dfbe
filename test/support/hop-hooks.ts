import type { InitializeHook, LoadFnOutput, LoadHook } from 'node:module';
import ts from 'typescript';

/** Where the files lie whose functions are counted, as a URL that ends in a slash. */
let root = '';

export const initialize: InitializeHook<{ readonly root: string }> = (data) => {
  root = data.root;
};

/** Puts a call to the tracer at the start of every function of the files under `root`. */
export const load: LoadHook = async (url, context, next) => {
  const loaded = await next(url, context);
  const file = url.slice(root.length);
  if (!url.startsWith(root) || loaded.format !== 'module' || LIKE_BUILT_INS.has(file)) return loaded;
  return { ...loaded, source: instrument(textOf(loaded.source), file) };
};

/** What stands in for objects of the language and of Node in a sealed thread: to whoever reads the host it is `Buffer.from` or `toString`. */
const LIKE_BUILT_INS = new Set(['template/driver-buffers.js', 'template/freeze-shared.js', 'template/seal-realm.js']);

interface Insertion {
  readonly at: number;
  readonly text: string;
}

function textOf(source: LoadFnOutput['source']): string {
  return typeof source === 'string' ? source : Buffer.from((source ?? '') as Uint8Array).toString();
}

function instrument(source: string, file: string): string {
  const parsed = ts.createSourceFile(file, source, ts.ScriptTarget.ESNext, true);
  const insertions: Insertion[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined)
      insertions.push(...callIn(node, node.body));
    ts.forEachChild(node, visit);
  };
  const callIn = (node: ts.SignatureDeclaration, body: ts.Node): readonly Insertion[] => {
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
function nameOf(node: ts.SignatureDeclaration, file: ts.SourceFile): string {
  if (ts.isConstructorDeclaration(node)) return 'constructor';
  if (node.name !== undefined) return node.name.getText();
  return `line ${String(file.getLineAndCharacterOfPosition(node.getStart()).line + 1)}`;
}
