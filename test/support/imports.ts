import { dirname, join, normalize } from 'node:path/posix';
import ts from 'typescript';
import type { SourceFile } from './source-files.js';

/** Parsing takes a millisecond a file, and many test files reach the same ones. */
const known = new WeakMap<SourceFile, readonly string[]>();

/** What a file imports: other files of the project by their path, packages by their name. Type imports count. */
export function importsOf(file: SourceFile): readonly string[] {
  const imports = known.get(file) ?? readImports(file);
  known.set(file, imports);
  return imports;
}

function readImports({ path, text }: SourceFile): readonly string[] {
  const specifiers: string[] = [];
  const visit = (node: ts.Node): void => {
    const specifier = specifierOf(node);
    if (specifier !== undefined && ts.isStringLiteralLike(specifier)) specifiers.push(specifier.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest));
  return [...new Set(specifiers.map((specifier) => resolveImport(path, specifier)))];
}

function specifierOf(node: ts.Node): ts.Node | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier;
  if (ts.isImportTypeNode(node)) return ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined;
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) return node.arguments[0];
  return undefined;
}

function resolveImport(from: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  return normalize(join(dirname(from), specifier)).replace(/\.js$/, '.ts');
}

/** Every project file that a file reaches through its imports, itself included. */
export function reachedFrom(path: string, files: ReadonlyMap<string, SourceFile>): ReadonlySet<string> {
  const reached = new Set<string>();
  const open = [path];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const file = files.get(next);
    if (file === undefined || reached.has(next)) continue;
    reached.add(next);
    open.push(...importsOf(file));
  }
  return reached;
}
