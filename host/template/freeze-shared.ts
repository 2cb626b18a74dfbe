import { Buffer } from 'node:buffer';
import { Duplex, Writable } from 'node:stream';

const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;

/** Properties of the language's own prototypes that code sets on objects of its own: a frozen prototype would refuse that. */
const SET_BY_HEIRS = new Map<object, ReadonlySet<PropertyKey>>([
  [
    Object.prototype,
    new Set(['constructor', 'toString', 'toLocaleString', 'valueOf', 'hasOwnProperty', 'propertyIsEnumerable']),
  ],
  // n.b. not `call` and `apply`, nor those of arrays, promises and maps: an accessor there costs every caller.
  [Function.prototype, new Set(['constructor', 'toString', 'bind'])],
  [String.prototype, new Set(['toString', 'valueOf'])],
  // n.b. null: a function here would be handed what others write.
  [Writable.prototype, new Set(['_writev'])],
  [Duplex.prototype, new Set(['_writev'])],
  [Date.prototype, new Set(Object.getOwnPropertyNames(Date.prototype))],
  [typedArray, new Set(['toString', 'toLocaleString', 'slice', 'fill', 'indexOf', 'lastIndexOf', 'includes'])],
  ...[Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError].map(
    ({ prototype }) => [prototype as object, new Set(['constructor', 'name', 'message', 'toString'])] as const,
  ),
]);

/**
 * What bytes are looked up in. Frozen as a whole, each of them would make V8 look for read-only elements whenever any byte is
 * written, and Node writes some with every tick: 0.1 becomes 0.6 µs on Node 20. Fixed property by property, they cost less.
 */
const BEHIND_BYTES = new Set<object>([
  ...[Object.prototype, typedArray, Buffer.prototype as object],
  ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array].map(prototypeOf),
  ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array].map(prototypeOf),
]);

/** Node and libraries set it in passing. It decides how long stacks are, and nothing else. */
const STACK_TRACE_LIMIT = 'stackTraceLimit';
const NATIVE = /\{\s*\[native code\]\s*\}\s*$/;

/**
 * Freezes all that is reached from the roots through values, accessors and prototypes, so that no code can lead the calls and
 * assignments of other code through its own. What heirs of a prototype could set on themselves, they still can. `spared`, and
 * what is reached through it alone, stays as it is.
 */
export function freezeShared(roots: readonly unknown[], spared: Iterable<unknown> = []): void {
  const seen = new Set(spared);
  const waiting: object[] = [];
  const reach = (value: unknown): void => {
    if (!isObject(value) || seen.has(value)) return;
    seen.add(value);
    waiting.push(value);
  };
  roots.forEach(reach);
  // n.b. each thread does this for some thousands of objects before it serves, so it makes nothing that it can do without.
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    reach(Object.getPrototypeOf(next));
    for (const key of Reflect.ownKeys(next)) {
      const { value, get, set } = (Object.getOwnPropertyDescriptor(next, key) ?? {}) as Record<
        keyof PropertyDescriptor,
        unknown
      >;
      reach(value);
      reach(get);
      reach(set);
    }
    // n.b. the elements of a typed array cannot be frozen, and belong to whoever made it.
    if (!ArrayBuffer.isView(next)) freeze(next);
  }
}

function freeze(object: object): void {
  const isHost = isHostPrototype(object);
  const heirs = SET_BY_HEIRS.get(object);
  if (isHost || heirs !== undefined)
    keepSettable(object, (key, value) => heirs?.has(key) === true || (isHost && typeof value === 'function'));
  // n.b. unlike fixing each property, it leaves V8's fast paths for arrays, promises and known functions as they are; but an
  // element that is put into a hole, or beyond the end, of an array by its index takes 40 ns instead of 2, and V8 compiles code
  // with literals like [...list, element] again and again: code that runs for each request pushes, or concatenates.
  if (!isHost && !BEHIND_BYTES.has(object) && !Object.hasOwn(object, STACK_TRACE_LIMIT)) Object.freeze(object);
  else fix(object, isHost);
}

/** Of the properties that are chosen: heirs can set them on themselves. */
function keepSettable(object: object, isChosen: (key: PropertyKey, value: unknown) => boolean): void {
  for (const key of Reflect.ownKeys(object)) {
    const property = Object.getOwnPropertyDescriptor(object, key);
    if (property?.writable !== true || property.configurable !== true) continue;
    const value = property.value as unknown;
    if (isChosen(key, value)) Object.defineProperty(object, key, settableByHeirs(key, value));
  }
}

/** What Node keeps on its prototypes beside methods are defaults, which it replaces on each instance: they stay writable. */
function fix(object: object, isHost: boolean): void {
  for (const key of Reflect.ownKeys(object)) {
    const isWritable = Object.getOwnPropertyDescriptor(object, key)?.writable === true;
    const stays = !isWritable || isHost || key === STACK_TRACE_LIMIT;
    Object.defineProperty(object, key, { configurable: false, ...(stays ? {} : { writable: false }) });
  }
  Object.preventExtensions(object);
}

/** Reads as before; set on an heir, it becomes a property of the heir; set on the object itself, it is refused. */
function settableByHeirs(key: PropertyKey, value: unknown): PropertyDescriptor {
  return {
    configurable: false,
    get: () => value,
    set(this: object, own: unknown) {
      Object.defineProperty(this, key, { value: own, writable: true, enumerable: true, configurable: true });
    },
  };
}

/** A class of Node's own JavaScript: its instances are given methods of their own, by Node itself first of all. */
function isHostPrototype(object: object): boolean {
  const made = Object.getOwnPropertyDescriptor(object, 'constructor')?.value as unknown;
  if (typeof made !== 'function' || made.prototype !== object) return false;
  // What every function has, and no instance.
  if (Reflect.ownKeys(object).length === 1) return false;
  return !NATIVE.test(String(made));
}

function prototypeOf({ prototype }: { readonly prototype: object }): object {
  return prototype;
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}
