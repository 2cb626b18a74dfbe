/** Properties of the language's own prototypes that code sets on objects of its own: a frozen prototype would refuse that. */
const SET_BY_HEIRS = new Map<object, ReadonlySet<PropertyKey>>([
  [
    Object.prototype,
    new Set(['constructor', 'toString', 'toLocaleString', 'valueOf', 'hasOwnProperty', 'propertyIsEnumerable']),
  ],
  // n.b. not `call` and `apply`, nor those of arrays, promises and maps: an accessor there costs every caller.
  [Function.prototype, new Set(['constructor', 'toString'])],
  [Date.prototype, new Set(Object.getOwnPropertyNames(Date.prototype))],
  [
    Object.getPrototypeOf(Uint8Array.prototype) as object,
    new Set(['toString', 'toLocaleString', 'slice', 'fill', 'set', 'subarray', 'indexOf', 'lastIndexOf', 'includes']),
  ],
  ...[Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError].map(
    ({ prototype }) => [prototype as object, new Set(['constructor', 'name', 'message', 'toString'])] as const,
  ),
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
  const waiting = [...roots];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (!isObject(next) || seen.has(next)) continue;
    seen.add(next);
    waiting.push(Object.getPrototypeOf(next));
    for (const key of Reflect.ownKeys(next)) {
      // Its value, or its accessors.
      waiting.push(...(Object.values(Object.getOwnPropertyDescriptor(next, key) ?? {}) as unknown[]));
    }
    // n.b. the elements of a typed array cannot be frozen, and belong to whoever made it.
    if (!ArrayBuffer.isView(next)) freeze(next);
  }
}

function freeze(object: object): void {
  const isHost = isHostPrototype(object);
  const heirs = SET_BY_HEIRS.get(object);
  if (!isHost && heirs === undefined && !Object.hasOwn(object, STACK_TRACE_LIMIT)) {
    // n.b. unlike defining each property anew, it leaves V8's fast paths for arrays and promises as they are.
    Object.freeze(object);
    return;
  }
  for (const key of Reflect.ownKeys(object)) {
    const { writable, configurable, ...rest } = Object.getOwnPropertyDescriptor(object, key) ?? {};
    const value = rest.value as unknown;
    const isHeirs = heirs?.has(key) === true || (isHost && typeof value === 'function');
    if (writable === true && configurable === true && isHeirs) {
      Object.defineProperty(object, key, settableByHeirs(key, value));
    } else {
      // n.b. what Node keeps on its prototypes beside methods are defaults, which it replaces on each instance.
      const stays = writable !== true || isHost || key === STACK_TRACE_LIMIT;
      Object.defineProperty(object, key, { configurable: false, ...(stays ? {} : { writable: false }) });
    }
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

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}
