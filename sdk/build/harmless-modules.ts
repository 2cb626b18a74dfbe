/**
 * Modules of Node that packages import in passing, and that a template may not have as they are: for a color, a name, a
 * warning. In place of each a bundle gets these few lines (CommonJS). They reach nothing outside the bundle, so they open no
 * way out, and end with the version.
 */
export const HARMLESS_MODULES: Readonly<Record<string, string>> = {
  'node:process': 'module.exports = process;',
  'node:console': 'module.exports = console;',
  'node:perf_hooks': 'module.exports = { performance };',
  'node:timers':
    'module.exports = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate };',
  'node:assert/strict': `module.exports = require('node:assert').strict;`,
  'node:path/posix': `module.exports = require('node:path').posix;`,
  'node:path/win32': `module.exports = require('node:path').win32;`,
  'node:util/types': `module.exports = require('node:util').types;`,
  'node:tty': 'module.exports = { isatty: () => false, ReadStream: class {}, WriteStream: class {} };',
  'node:os': `module.exports = {
    EOL: '\\n', devNull: '/dev/null', constants: { signals: {}, errno: {} },
    platform: () => process.platform, arch: () => process.arch, type: () => 'Linux', release: () => '', version: () => '',
    endianness: () => 'LE', hostname: () => 'localhost', homedir: () => '/', tmpdir: () => '/tmp', userInfo: () => ({}),
    cpus: () => [], availableParallelism: () => 1, totalmem: () => 0, freemem: () => 0, loadavg: () => [0, 0, 0],
    uptime: () => process.uptime(), networkInterfaces: () => ({}),
  };`,
  // The channels of the bundle alone: those of the thread carry what the host and the drivers tell each other.
  'node:diagnostics_channel': `
    class Channel {
      constructor(name) { this.name = name; this.listeners = []; }
      get hasSubscribers() { return this.listeners.length > 0; }
      subscribe(listener) { this.listeners = this.listeners.concat([listener]); }
      unsubscribe(listener) {
        const before = this.listeners;
        this.listeners = before.filter((each) => each !== listener);
        return this.listeners.length < before.length;
      }
      publish(message) { for (const listener of this.listeners) listener(message, this.name); }
      bindStore() {}
      unbindStore() { return false; }
      runStores(message, work, self, ...args) { this.publish(message); return Reflect.apply(work, self, args); }
    }
    const channels = new Map();
    const channel = (name) => {
      if (!channels.has(name)) channels.set(name, new Channel(name));
      return channels.get(name);
    };
    const run = (work, context, self, ...args) => Reflect.apply(work, self, args);
    const PARTS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'];
    const tracingChannel = (name) => Object.assign(
      typeof name === 'string' ? Object.fromEntries(PARTS.map((part) => [part, channel('tracing:' + name + ':' + part)])) : { ...name },
      { hasSubscribers: false, subscribe() {}, unsubscribe: () => false, traceSync: run, tracePromise: run,
        traceCallback: (work, position, context, self, ...args) => Reflect.apply(work, self, args) },
    );
    module.exports = {
      Channel, channel, tracingChannel,
      hasSubscribers: (name) => channel(name).hasSubscribers,
      subscribe: (name, listener) => channel(name).subscribe(listener),
      unsubscribe: (name, listener) => channel(name).unsubscribe(listener),
    };`,
  // Node follows every promise of a thread as soon as one store is in use: what a template wants to hand on, it passes on.
  'node:async_hooks': `
    class AsyncResource {
      constructor(type) { this.type = type; }
      static bind(work, type, self) { return self === undefined ? work : work.bind(self); }
      bind(work, self) { return AsyncResource.bind(work, this.type, self); }
      runInAsyncScope(work, self, ...args) { return Reflect.apply(work, self, args); }
      emitDestroy() { return this; }
      asyncId() { return 0; }
      triggerAsyncId() { return 0; }
    }
    class AsyncLocalStorage {
      static bind(work) { return work; }
      static snapshot() { return (work, ...args) => work(...args); }
      getStore() { return undefined; }
      disable() {}
      exit(work, ...args) { return work(...args); }
      run() { throw new TypeError('AsyncLocalStorage does not work in a template: hand values on as arguments.'); }
      enterWith() { this.run(); }
    }
    const nothing = { enable() { return nothing; }, disable() { return nothing; } };
    module.exports = { AsyncResource, AsyncLocalStorage, createHook: () => nothing, executionAsyncId: () => 0, triggerAsyncId: () => 0 };`,
};
