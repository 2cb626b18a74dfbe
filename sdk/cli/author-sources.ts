import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import type ts from 'typescript';
import type { Finding } from './author.js';
import { checkErrors, commandErrors } from './command-errors.js';

/** A finding with the place in the author's files that it is about. */
export interface PlacedFinding extends Finding {
  /** Relative to the folder of the domain. */
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
}

type TypeScript = typeof ts;

/** The project's own TypeScript, else the one beside the SDK. Throws BEDS_CLI_PACKAGE_MISSING. */
export async function loadTypeScript(folder: string): Promise<TypeScript> {
  for (const from of [pathToFileURL(join(folder, 'template.ts')), import.meta.url]) {
    try {
      const path = createRequire(from).resolve('typescript');
      return ((await import(pathToFileURL(path).href)) as { readonly default: TypeScript }).default;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  const message = 'TypeScript is needed to check types: npm install --save-dev typescript.';
  throw commandErrors.make('BEDS_CLI_PACKAGE_MISSING', message);
}

/** Where the options come from when a project has no tsconfig.json. */
const DEFAULT_OPTIONS = {
  target: 'ES2023',
  lib: ['ES2023'],
  module: 'NodeNext',
  moduleResolution: 'NodeNext',
  strict: true,
  noUncheckedIndexedAccess: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  skipLibCheck: true,
};

/** The author's TypeScript of one domain: checked again and again, each time only what changed. */
export class AuthorSources {
  readonly #ts: TypeScript;
  readonly #folder: string;
  readonly #entry: string;
  #program: ts.Program | undefined;
  /** What was read and parsed, by its path, with the text that it was made of. */
  readonly #parsed = new Map<string, ts.SourceFile>();

  constructor(typescript: TypeScript, entry: string) {
    this.#ts = typescript;
    this.#entry = entry;
    this.#folder = dirname(entry);
  }

  /** Everything that the compiler says, and promises that nobody waits for. */
  check(): readonly PlacedFinding[] {
    const program = (this.#program = this.#makeProgram());
    const own = this.#ownFiles(program);
    // Where a bracket is missing, everything after it means something else.
    const syntax = own.flatMap((file) => program.getSyntacticDiagnostics(file));
    if (syntax.length > 0) return syntax.map((diagnostic) => this.#typeFinding(diagnostic));
    const told = [...program.getOptionsDiagnostics(), ...own.flatMap((file) => program.getSemanticDiagnostics(file))];
    const forgotten = own
      .filter(({ fileName }) => !fileName.includes('.test.'))
      .flatMap((file) => this.#forgottenAwaits(file, program.getTypeChecker()));
    return [...told.map((diagnostic) => this.#typeFinding(diagnostic)), ...forgotten];
  }

  /** What the domain is made of, as of the last check: its own files and those that they import, packages left out. */
  files(): readonly string[] {
    return this.#program === undefined ? [] : this.#ownFiles(this.#program).map(({ fileName }) => fileName);
  }

  /** The file of `db/` that speaks of an object of the database, relative to the folder of the domain. */
  databaseFileOf(object: string): string | undefined {
    const folder = join(this.#folder, 'db');
    const files = this.#ts.sys.directoryExists(folder) ? this.#ts.sys.readDirectory(folder) : [];
    const word = new RegExp(`(?<![\\w$])${object.replaceAll(/[.$]/g, '\\$&')}(?![\\w$])`);
    const isAbout = (path: string): boolean => word.test(this.#ts.sys.readFile(path) ?? '');
    const path = files.toSorted((a, b) => Number(!a.includes(object)) - Number(!b.includes(object))).find(isAbout);
    return path === undefined ? undefined : relative(this.#folder, path);
  }

  /** A finding about a named object of the database, where the template names it: at the argument or column in question if one is. */
  placeObject(name: string, finding: Finding): PlacedFinding {
    const { isStringLiteralLike, isCallExpression } = this.#ts;
    const use = this.#find((node) => isStringLiteralLike(node) && node.text === name && isCallExpression(node.parent));
    if (use === undefined) return finding;
    const words = new Set(finding.message.match(/[A-Za-z_]\w*/g));
    words.delete(name);
    const member = this.#findIn(use.parent, (node) => this.#isMember(node) && words.has(nameOf(node)));
    return { ...finding, ...this.#place(member ?? use) };
  }

  /** A finding about a part of the definition, `operations.count.input`: at the deepest member of that path that is written out. */
  placePath(path: string, finding: Finding): PlacedFinding {
    const { isCallExpression, isObjectLiteralExpression } = this.#ts;
    const whole = this.#find((node) => isCallExpression(node) && /^define\w+$/.test(node.expression.getText()));
    if (whole === undefined) return finding;
    let at: ts.Node = whole;
    for (const name of path.split(/[.[\]]+/).filter((part) => part !== '')) {
      const next = this.#findIn(
        at,
        (node) => this.#isMember(node) && nameOf(node) === name && isObjectLiteralExpression(node.parent),
      );
      // What is not written out, as the arguments of a procedure are not named, is passed over.
      at = next ?? at;
    }
    return { ...finding, ...this.#place(at) };
  }

  /** A finding about the template as a whole: where it is defined. */
  placeWhole(finding: Finding): PlacedFinding {
    return this.placePath('', finding);
  }

  #makeProgram(): ts.Program {
    const api = this.#ts;
    const options = this.#options();
    const host = api.createCompilerHost(options, true);
    const read = host.getSourceFile.bind(host);
    host.getSourceFile = (name, version, ...rest) => {
      const known = this.#parsed.get(name);
      if (known !== undefined && (name.includes('/node_modules/') || known.text === api.sys.readFile(name)))
        return known;
      const file = read(name, version, ...rest);
      if (file !== undefined) this.#parsed.set(name, file);
      return file;
    };
    const tests = api.sys.readDirectory(
      this.#folder,
      ['.ts'],
      ['**/node_modules', '**/dist', '**/.beds'],
      ['*.test.ts'],
    );
    const rootNames = [this.#entry, ...tests];
    return api.createProgram({ rootNames, options, host, ...(this.#program && { oldProgram: this.#program }) });
  }

  #options(): ts.CompilerOptions {
    const api = this.#ts;
    const file = api.findConfigFile(this.#folder, (path) => api.sys.fileExists(path));
    const json: unknown =
      file === undefined
        ? { compilerOptions: DEFAULT_OPTIONS }
        : (api.readConfigFile(file, (path) => api.sys.readFile(path)).config as unknown);
    const { options } = api.parseJsonConfigFileContent(
      json,
      api.sys,
      file === undefined ? this.#folder : dirname(file),
    );
    // n.b. what is written and kept is no business of a check; and it wants no file that the project does not compile.
    const { incremental: _, composite: __, tsBuildInfoFile: ___, rootDir: ____, outDir: _____, ...rest } = options;
    return { ...rest, noEmit: true, allowJs: true };
  }

  #ownFiles(program: ts.Program): readonly ts.SourceFile[] {
    return program
      .getSourceFiles()
      .filter(({ fileName, isDeclarationFile }) => !isDeclarationFile && !fileName.includes('/node_modules/'));
  }

  #typeFinding({ file, start = 0, messageText, code }: ts.Diagnostic): PlacedFinding {
    const message = this.#ts.flattenDiagnosticMessageText(messageText, '\n  ');
    const wrong = [...message.matchAll(WRONG_ANSWER)].map(([, text = '']) => text);
    const said =
      wrong.length === 0 || file === undefined
        ? withoutLongArguments(message)
        : `${this.#operationAt(file, start)} answers with something else than it declares: ${[...new Set(wrong)].join('; ')}`;
    const finding = {
      code: 'BEDS_CHECK_TYPE',
      message: `${said} (TS${code})`,
      ...(IS_PROMISE.test(said) && { hint: checkErrors.specs.BEDS_CHECK_FORGOTTEN_AWAIT.action }),
    };
    return file === undefined ? finding : { ...finding, ...this.#placeAt(file, start) };
  }

  /** The name that the operation around a position is given. */
  #operationAt(file: ts.SourceFile, position: number): string {
    const { isPropertyAssignment, isVariableDeclaration, forEachChild } = this.#ts;
    let name = 'The operation';
    const visit = (node: ts.Node): void => {
      if (position < node.pos || position >= node.end) return;
      const isNamed = isPropertyAssignment(node) || isVariableDeclaration(node);
      if (isNamed && node.initializer !== undefined && this.#makesOperation(node.initializer)) name = nameOf(node);
      forEachChild(node, visit);
    };
    visit(file);
    return name;
  }

  /** `query({ … }, handler)`, also with `.idempotent()` behind it. */
  #makesOperation(node: ts.Node): boolean {
    const { isCallExpression, isPropertyAccessExpression } = this.#ts;
    if (!isCallExpression(node)) return false;
    return (
      node.arguments.length === 2 ||
      (isPropertyAccessExpression(node.expression) && this.#makesOperation(node.expression.expression))
    );
  }

  #forgottenAwaits(file: ts.SourceFile, checker: ts.TypeChecker): readonly PlacedFinding[] {
    const api = this.#ts;
    const found: PlacedFinding[] = [];
    const add = (node: ts.Node, problem: string): void => {
      const hint = checkErrors.specs.BEDS_CHECK_FORGOTTEN_AWAIT.action;
      found.push({
        code: 'BEDS_CHECK_FORGOTTEN_AWAIT',
        message: `${problem}: its failure would be lost, and the reply may be sent before it ends.`,
        hint,
        ...this.#place(node),
      });
    };
    const visit = (node: ts.Node): void => {
      if (api.isExpressionStatement(node) && !this.#isMeant(node.expression)) {
        const kind = this.#promiseKind(checker, checker.getTypeAtLocation(node.expression));
        if (kind !== undefined) add(node, `${this.#short(node.expression)} is ${kind} that nobody awaits`);
      } else if (api.isVariableDeclaration(node) && node.initializer !== undefined && api.isIdentifier(node.name)) {
        const kind = this.#promiseKind(checker, checker.getTypeAtLocation(node.initializer));
        if (kind !== undefined && !this.#isUsed(node.name))
          add(node, `${node.name.text} is ${kind} that nobody awaits`);
      } else if (api.isCallExpression(node) && !TIMERS.test(node.expression.getText())) {
        for (const each of node.arguments) {
          if (this.#isUnawaitedCallback(checker, each))
            add(each, `${this.#short(node)} does not await what its function does`);
        }
      }
      api.forEachChild(node, visit);
    };
    visit(file);
    return found;
  }

  /** `void` says that nobody waits on purpose; an assignment hands the promise on. */
  #isMeant(expression: ts.Expression): boolean {
    const { isVoidExpression, isBinaryExpression, SyntaxKind } = this.#ts;
    return (
      isVoidExpression(expression) ||
      (isBinaryExpression(expression) && expression.operatorToken.kind === SyntaxKind.EqualsToken)
    );
  }

  #promiseKind(checker: ts.TypeChecker, type: ts.Type): string | undefined {
    const isPromise = (each: ts.Type): boolean =>
      each.isUnion() ? each.types.some(isPromise) : each.getProperty('then') !== undefined;
    if (isPromise(type)) return 'a promise';
    const [item] = checker.isArrayType(type) ? checker.getTypeArguments(type as ts.TypeReference) : [];
    return item !== undefined && isPromise(item) ? 'a list of promises' : undefined;
  }

  /** A function that gives a promise, where one is called whose result nobody takes: `forEach`. */
  #isUnawaitedCallback(checker: ts.TypeChecker, argument: ts.Expression): boolean {
    const { isArrowFunction, isFunctionExpression, TypeFlags } = this.#ts;
    if (!isArrowFunction(argument) && !isFunctionExpression(argument)) return false;
    const wanted = checker.getContextualType(argument)?.getCallSignatures() ?? [];
    const given = checker.getTypeAtLocation(argument).getCallSignatures();
    const isVoid = (each: ts.Signature): boolean => (each.getReturnType().flags & TypeFlags.Void) !== 0;
    return (
      wanted.length > 0 &&
      wanted.every(isVoid) &&
      given.some((each) => this.#promiseKind(checker, each.getReturnType()) !== undefined)
    );
  }

  #isUsed(name: ts.Identifier): boolean {
    const { isIdentifier } = this.#ts;
    const isUse = (node: ts.Node): boolean => isIdentifier(node) && node !== name && node.text === name.text;
    return this.#findIn(name.getSourceFile(), isUse) !== undefined;
  }

  /** What is called, without what it is called with. */
  #short(expression: ts.Expression): string {
    return this.#ts.isCallExpression(expression)
      ? `${expression.expression.getText()}(…)`
      : expression.getText().slice(0, 40);
  }

  #isMember(node: ts.Node): node is ts.PropertyAssignment | ts.ShorthandPropertyAssignment | ts.MethodDeclaration {
    const { isPropertyAssignment, isShorthandPropertyAssignment, isMethodDeclaration } = this.#ts;
    return isPropertyAssignment(node) || isShorthandPropertyAssignment(node) || isMethodDeclaration(node);
  }

  /** The first node of the author's files, the template first. */
  #find(isIt: (node: ts.Node) => boolean): ts.Node | undefined {
    const program = (this.#program ??= this.#makeProgram());
    const own = this.#ownFiles(program).filter(({ fileName }) => !fileName.includes('.test.'));
    const first = own.filter(({ fileName }) => fileName === this.#entry);
    for (const file of [...first, ...own]) {
      const found = this.#findIn(file, isIt);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #findIn(within: ts.Node, isIt: (node: ts.Node) => boolean): ts.Node | undefined {
    return this.#ts.forEachChild(within, (node): ts.Node | undefined => (isIt(node) ? node : this.#findIn(node, isIt)));
  }

  #place(node: ts.Node): Pick<PlacedFinding, 'file' | 'line' | 'column'> {
    return this.#placeAt(node.getSourceFile(), node.getStart());
  }

  #placeAt(file: ts.SourceFile, position: number): Pick<PlacedFinding, 'file' | 'line' | 'column'> {
    const { line, character } = file.getLineAndCharacterOfPosition(position);
    return { file: relative(this.#folder, file.fileName), line: line + 1, column: character + 1 };
  }
}

/** A promise stands where its value was meant. */
const IS_PROMISE = /^(?:Property '.*' does not exist on type|Type|Argument of type) 'Promise<|is a promise: await it/;
/** What the type of an operation says of its answer. */
const WRONG_ANSWER = /"(output[^"]*)"/g;
const LONGEST_ARGUMENTS = 60;

/** `Database<…>`: what the compiler writes between the brackets of a domain's types says the whole template once more. */
function withoutLongArguments(text: string): string {
  let short = '';
  for (let at = 0; at < text.length; at += 1) {
    short += text.charAt(at);
    if (text.charAt(at) !== '<' || !/\w/.test(text.charAt(at - 1))) continue;
    const end = closingBracket(text, at);
    if (end - at <= LONGEST_ARGUMENTS) continue;
    short += '…';
    at = end - 1;
  }
  return short;
}

/** n.b. the `>` of an arrow closes nothing. */
function closingBracket(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at += 1) {
    if (text.charAt(at) === '<') depth += 1;
    else if (text.charAt(at) === '>' && text.charAt(at - 1) !== '=') depth -= 1;
    if (depth === 0) return at;
  }
  return open;
}

/** What they call, they call when nobody waits any more. */
const TIMERS = /^(?:set(?:Timeout|Interval|Immediate)|queueMicrotask)$/;

function nameOf(node: ts.Node): string {
  const { name } = node as Partial<ts.PropertyAssignment>;
  return name === undefined ? '' : 'text' in name ? name.text : name.getText();
}
