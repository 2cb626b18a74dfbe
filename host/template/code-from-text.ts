import { compileFunction } from 'node:vm';

/** How code that is older than `globalThis` asks for it; in strict code `this` has no value. */
const ASKS_FOR_GLOBALS = /^\s*return this\s*;?\s*$/;

/**
 * A stand-in for `Function` whose functions are strict and see `scope` in place of the globals of the same names. Libraries
 * that compile schemas, parsers or pages go on working, and find nothing that their own text would not find.
 */
export function makeFunction(scope: () => Readonly<Record<string, unknown>>): FunctionConstructor {
  const make = function Function(...texts: unknown[]): unknown {
    const body = texts.length === 0 ? '' : String(texts.at(-1));
    const parameters = texts.slice(0, -1).map(String).join(',');
    const seen = scope();
    const strict = body.replace(ASKS_FOR_GLOBALS, 'return globalThis;');
    const text = `"use strict";return function anonymous(${parameters}\n) {\n${strict}\n}`;
    return Reflect.apply(compileFunction(text, Object.keys(seen)), undefined, Object.values(seen));
  };
  Object.defineProperty(make, 'prototype', { value: Function.prototype, writable: false });
  return make as FunctionConstructor;
}
