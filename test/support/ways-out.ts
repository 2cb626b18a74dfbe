/** Ways out that are seen in the text of a template; none of it may run. */
export const WRITTEN: Readonly<Record<string, string>> = {
  'process.getBuiltinModule': `process.getBuiltinModule('node:child_process')`,
  'process.getBuiltinModule, asked for by an optional chain': `process?.getBuiltinModule?.('node:child_process')`,
  'process.getBuiltinModule, by its text': `globalThis['process']['getBuiltinModule']('node:child_process')`,
  'process.binding': `process.binding('spawn_sync')`,
  'process._linkedBinding': `process._linkedBinding('x')`,
  'process.dlopen': `process.dlopen({ exports: {} }, '/tmp/x.node')`,
  'process.mainModule': `process.mainModule.require('node:child_process')`,
  'process.report': `process.report.getReport()`,
  'process._getActiveHandles': `process._getActiveHandles()`,
  'an import while the code runs': `void import('node:child_process')`,
  'an import of a computed name': `void import(['node', 'child_process'].join(':'))`,
  'a computed require': `require(['child', 'process'].join('_'))`,
  'a direct eval': `eval('process')`,
};

/**
 * Ways that no text shows. Each is the body of an async function: it may use `ctx`, `fn` (a function of its own), `caught`
 * (calls with what it must not have seen) and modules that templates may import, and returns what it has found.
 */
export const HIDDEN: Readonly<Record<string, string>> = {
  'a name made of parts': `const name = ['get', 'BuiltinModule'].join(''); return process[name]?.('node:child_process');`,
  'a member taken out of process': `const { getBuiltinModule: get } = process; return get?.('node:child_process');`,
  'other members of process': `return ['env', 'argv', 'mainModule', 'binding', 'report', 'permission', 'stdout', '_events']
    .map((name) => { try { return process[name](name); } catch { return process[name]; } });`,
  'what lies behind globalThis': `const found = []; for (let at = globalThis; at; at = Object.getPrototypeOf(at)) {
    found.push(at.process, at.globalThis?.process, at.global?.process, at.console); } return found;`,
  Function: `return Function('return process')();`,
  'Function and this': `return [new Function('return this')(), Function('return (() => this)()')(), Function('return globalThis')()];`,
  'Function and import': `return await Function("return import('node:child_process')")();`,
  'Function that leaves its text': `return Function('} ; return process ; {')();`,
  'the constructor of a function': `return fn.constructor('return process')();`,
  'the constructor of a class of the language': `return globalThis.constructor.constructor('return process')();`,
  'the constructor of an async function': `return await (async () => {}).constructor('return process')();`,
  'the constructor of a generator': `return (function* () {}).constructor('yield process')().next().value;`,
  'the constructor of an async generator': `return (await (async function* () {}).constructor('yield process')().next()).value;`,
  'what the constructor of an async function comes from': `return Object.getPrototypeOf((async () => {}).constructor)('return process')();`,
  'Reflect.construct': `return Reflect.construct(fn.constructor, ['return process'])();`,
  'the constructor of what it is handed': `return [ctx, ctx.self, ctx.log, ctx.signal, ctx.deadline].map((it) => { try { return it.constructor.constructor('return process')(); } catch {} });`,
  'an eval that is not written as one': `const say = eval; return say('process');`,
  'an eval that imports': `const say = eval; return await say("import('node:child_process')");`,
  'a timer of a text': `return setTimeout('globalThis.out = process', 1);`,
  'module and require': `return [module.constructor, module.require, module.parent, require.main, require.cache, require.extensions];`,
  'require of what is not allowed': `return ['child_process', 'node:fs', 'worker_threads', 'v8', 'vm', 'inspector', 'module', 'process', './x.js', '/etc/passwd']
    .map((name) => { const ask = require; try { return ask(name); } catch {} });`,
  'the frames of a stack': `const before = Error.prepareStackTrace; Error.prepareStackTrace = (error, frames) => frames;
    const { stack } = new Error('x'); Error.prepareStackTrace = before;
    return Array.isArray(stack) ? ['canary: frames', ...stack.map((frame) => [frame.getThis?.(), frame.getFunction?.()])] : undefined;`,
  'the frames of somebody else': `Object.defineProperty(Error, 'prepareStackTrace', { value: (error, frames) => { caught(frames); } }); await ctx.view('fetch');`,
  'who called': `return (function () { return [arguments.callee, fn.caller, fn.arguments]; })();`,
  'the console': `return [console.Console, console._stdout, console._stderr, console._streams];`,
  'a tick and a microtask': `return await new Promise((done) => queueMicrotask(function () { process.nextTick(function (...all) { done([this, all]); }); }));`,
  'an inspection': `const seen = []; util.inspect({ [Symbol.for('nodejs.util.inspect.custom')](...all) { seen.push(this.constructor, all, all[2]?.constructor); return ''; } }); return seen;`,
  'the options of every inspection': `const { depth } = util.inspect.defaultOptions; try { util.inspect.defaultOptions = { depth: 7 }; } catch {}
    const isSet = util.inspect.defaultOptions.depth === 7; if (isSet) util.inspect.defaultOptions = { depth }; return isSet ? 'canary: set' : undefined;`,
  'the timers of others': `const timer = setTimeout(fn, 60_000); const now = setImmediate(fn);
    const found = [timer, now].flatMap((it) => [it._idleNext, it._idlePrev, it._onTimeout, it._onImmediate, it._timerArgs]); clearTimeout(timer); return found.filter(Boolean).length > 0 ? 'canary: timers' : undefined;`,
  'the bytes beside a buffer': `const all = [Buffer.from('x'), Buffer.allocUnsafe(8), Buffer.concat([Buffer.from('x')]), buffer.Buffer.from([1]), Buffer.from('eA', 'base64'),
    Buffer.allocUnsafeSlow(8), Buffer.from('x').constructor.from('y'), querystring.unescapeBuffer('x'), crypto.createHash('md5').update('x').digest()];
    return all.some((it) => it.buffer.byteLength > 64) ? 'canary: a shared pool' : undefined;`,
  'the buffers of the drivers': `const all = [globalThis.Buffer, global.Buffer, Function('return Buffer')(), Function('return globalThis.Buffer')(), buffer.Buffer,
    Buffer.from('x').constructor, Buffer.prototype.constructor, Object.getPrototypeOf(Buffer.from('x')).constructor, Object.getPrototypeOf(Buffer), Buffer[Symbol.species],
    Object.getPrototypeOf(Buffer[Symbol.species]), ...Object.getOwnPropertyNames(globalThis).map((name) => globalThis[name])].filter((it) => typeof it?.allocUnsafe === 'function');
    return all.some((it) => it !== Buffer || it.from('x').buffer.byteLength > 64 || it.allocUnsafe(100).buffer.byteLength > 100) ? 'canary: a shared pool' : undefined;`,
  'memory that is not cleared': `let dirty = 0; for (let i = 0; i < 200; i += 1) if (Buffer.allocUnsafe(4096).some(Boolean) || Buffer.allocUnsafeSlow(64).some(Boolean)) dirty += 1; return dirty > 0 ? 'canary: memory' : undefined;`,
  'what a stream of crypto is given': `const cipher = crypto.createHash('md5'); let size = 0; cipher._transform = (chunk, _, done) => { size = chunk.buffer.byteLength; done(); };
    cipher.write('x'); return size > 64 ? 'canary: a shared pool' : undefined;`,
  'the streams of others': `return stream.setDefaultHighWaterMark === undefined ? undefined : 'canary: the buffers of all streams';`,
  'the standard output by way of a stream': `return [process.stdout.constructor, process.stdout.fd, process.stdout._handle, process.stderr._events].map((it) => it && it !== Object && 'canary: ' + it);`,
  'native code by way of crypto': `return [crypto.setEngine, crypto.setFips, Object.getOwnPropertyDescriptor(crypto, 'fips'), buffer.SlowBuffer].map((it) => it && 'canary: ' + it);`,
  'the last match of others': `/canary/.test('canary'); return [RegExp.input, RegExp.$1, RegExp['$&'], RegExp.leftContext];`,
  'a wait that stops the thread': `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10); return 'canary: it waited';`,
  'the error of a database': `try { await ctx.call('nothing'); } catch (error) { const all = []; for (let at = error; at; at = at.cause) all.push(at, at.stack, at.constructor); return all; }`,
  ...Object.fromEntries(
    [
      ...[
        'Object.prototype.toString',
        'Object.prototype.hasOwnProperty',
        'Object.assign',
        'Object.keys',
        'Object.freeze',
      ],
      ...['Function.prototype.call', 'Function.prototype.apply', 'Function.prototype.bind'],
      ...['Array.prototype.push', 'Array.prototype.map', 'Array.prototype.shift', 'Array.from', 'Array.isArray'],
      ...['String.prototype.slice', 'String.prototype.startsWith', 'Number.isInteger', 'Symbol.for', 'Date.now'],
      ...['Promise.prototype.then', 'Promise.prototype.finally', 'Promise.all', 'Promise.resolve', 'Promise.race'],
      ...[
        'Map.prototype.get',
        'Map.prototype.set',
        'Set.prototype.add',
        'WeakMap.prototype.get',
        'JSON.stringify',
        'JSON.parse',
      ],
      ...[
        'Buffer.from',
        'Buffer.concat',
        'Buffer.alloc',
        'Buffer.prototype.toString',
        'Buffer.prototype.slice',
        'URL.canParse',
      ],
      ...[
        'Uint8Array.prototype.subarray',
        'Uint8Array.prototype.set',
        'events.prototype.emit',
        'events.prototype.on',
        'events.init',
      ],
      ...[
        'AbortSignal.prototype.addEventListener',
        'AbortController.prototype.abort',
        'EventTarget.prototype.dispatchEvent',
      ],
      ...[
        'TextDecoder.prototype.decode',
        'util.inspect.custom',
        'path.posix.join',
        'util.types.isDate',
        'assert.strict.equal',
      ],
      ...['crypto.Hash.prototype.update', 'performance.now', 'console.log'],
      ...[
        'stream.pipeline',
        'stream.Readable.from',
        'stream.Readable.prototype.push',
        'stream.Writable.prototype.write',
      ],
      ...[
        'ctx.constructor.prototype.call',
        'ctx.constructor.prototype.view',
        'ctx.deadline.constructor.prototype.requireTime',
      ],
      ...['Object.getPrototypeOf(crypto.Hash.prototype).write', 'Object.getPrototypeOf([].values()).next'],
      ...['Object.getPrototypeOf(async () => {}).call', 'Object.getPrototypeOf(function* () {}).prototype.next'],
    ].map((member) => [`a change of ${member}`, changeOf(member)]),
  ),
  ...Object.fromEntries(
    [
      'Promise',
      'JSON',
      'Map',
      'Object',
      'URL',
      'structuredClone',
      'queueMicrotask',
      'Error',
      'Array',
      'Blob',
      'Headers',
    ].map((name) => [
      `the global ${name}, set by its bare name`,
      `const own = ${name}; try { ${name} = undefined; } catch { return undefined; } ${name} = own; return 'canary: set';`,
    ]),
  ),
  'a setter for what others set': `Object.defineProperty(Object.prototype, 'password', { configurable: true, set(value) { caught(value); } }); delete Object.prototype.password; return 'canary: set';`,
  'a getter for what others ask for': `Object.prototype.__defineGetter__('socketPath', function () { caught(this); }); delete Object.prototype.socketPath; return 'canary: set';`,
  'an element of every array': `Object.defineProperty(Array.prototype, '0', { configurable: true, set(value) { caught(value); } }); delete Array.prototype[0]; return 'canary: set';`,
  'a global of all templates': `const all = Object.getPrototypeOf(globalThis); const was = all.JSON; try { all.JSON = 1; } catch {}
    const isSet = all.JSON === 1; if (isSet) delete all.JSON; return isSet ? 'canary: set' : undefined;`,
  'the methods of what Node makes late': `const set = (owner, name) => { const was = owner[name]; try { owner[name] = fn; } catch { return false; } const is = owner[name] === fn;
    try { owner[name] = was; } catch {} return is; };
    return [[crypto.subtle, 'digest'], [globalThis.crypto.subtle, 'digest'], [stream.promises, 'pipeline'], [events.EventEmitterAsyncResource.prototype, 'emit'], [util.aborted, 'name'],
      [stream.Writable.prototype, '_writev'], [stream.Duplex.prototype, '_writev']].filter(([owner, name]) => set(owner, name)).map(([, name]) => 'canary: ' + name);`,
  'the time-out of signals that does not end': `const { signal } = new AbortController();
    try { signal.addEventListener('abort', fn); signal.removeEventListener('abort', fn); } catch { return 'canary: signals are broken'; }
    return signal.constructor.timeout(1_000_000) && 'canary: it was made';`,
  'a toJSON of every text': `String.prototype.toJSON = function () { caught(this); return 'x'; }; delete String.prototype.toJSON; return 'canary: set';`,
  'another prototype of prototypes': `Object.setPrototypeOf(Array.prototype, { leak() {} }); Object.setPrototypeOf(Array.prototype, Object.prototype); return 'canary: set';`,
  'another prototype of emitters': `Object.setPrototypeOf(events.prototype, { leak() {} }); Object.setPrototypeOf(events.prototype, Object.prototype); return 'canary: set';`,
};

/** Puts a function of its own in the place of one that others call, and puts it back. */
function changeOf(member: string): string {
  const dot = member.lastIndexOf('.');
  const [owner, name] = [member.slice(0, dot), member.slice(dot + 1)];
  return `const owner = ${owner}; const was = owner.${name}; const own = function () { return was.apply(this, arguments); };
    try { owner.${name} = own; } catch { return undefined; }
    const isChanged = owner.${name} === own; owner.${name} = was; return isChanged ? 'canary: changed' : undefined;`;
}

/** Code that runs them and answers what came of it as text: empty is well. */
export function waysOutHead(): string {
  const ways = Object.entries(HIDDEN).map(
    ([name, body]) => `${JSON.stringify(name)}: async (ctx, fn, caught) => { ${body} }`,
  );
  const modules = ['assert', 'buffer', 'crypto', 'events', 'path', 'querystring', 'stream', 'util'];
  return `
    ${modules.map((name) => `import ${name} from 'node:${name}';`).join('\n')}
    const WAYS = { ${ways.join(',\n')} };
    const NAME_OF_MODULE = ['get', 'BuiltinModule'].join('');
    const tag = Object.prototype.toString;
    const find = (value, depth, found) => {
      if (typeof value === 'string' && /canary|uid=\\d|:\\/\\/[^/]*:[^/]*@/.test(value)) found.add(value.slice(0, 200));
      if (value === null || (typeof value !== 'object' && typeof value !== 'function') || depth > 3) return;
      if (tag.call(value) === '[object process]') found.add('the process of the thread');
      for (const name of ['execSync', 'readFileSync', 'receiveMessageOnPort', 'createRequire', 'getHeapSnapshot', 'Socket'])
        if (typeof value[name] === 'function') found.add('a module with ' + name);
      if (typeof value[NAME_OF_MODULE] === 'function') found.add(String(value[NAME_OF_MODULE]('child_process').execSync('id')));
      for (const key of Reflect.ownKeys(value)) { try { find(value[key], depth + 1, found); } catch {} }
    };
    const tryWay = async (name, ctx) => {
      const found = new Set();
      const calls = [];
      if (!Object.hasOwn(WAYS, name)) throw new Error('no such way: ' + name);
      try {
        const value = await WAYS[name](ctx, function fn() {}, (...seen) => { calls[calls.length] = seen; });
        find(value, 0, found);
      } catch { /* It is refused. */ }
      if (calls.length > 0) found.add('canary: ' + calls.length + ' calls of others');
      return [...found].join('; ');
    };`;
}
