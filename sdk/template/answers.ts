import type { Json } from './json.js';
import type { AnswerOf, AnyType, ObjectType } from './types.js';

/** Any value. n.b. a union with `unknown` is `unknown`: the editor would not know the fields that are declared. */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- see above.
export type Anything = {} | null | undefined | void;

type Something = Exclude<Json, null>;
type AnyFunction = (...args: never) => unknown;
type AnyList = readonly unknown[];
type IsAny<T> = 0 extends 1 & T ? true : false;

/** What a value is called that is none of those declared. */
type Kind<T> = [T] extends [string]
  ? 'a string'
  : [T] extends [number]
    ? 'a number'
    : [T] extends [boolean]
      ? 'true or false'
      : [T] extends [AnyList]
        ? 'a list'
        : [T] extends [AnyFunction]
          ? 'a function'
          : [T] extends [object]
            ? 'an object'
            : 'a value of another type';

/** The same of what is declared: an enum says its values. */
type Declared<T> = [T] extends [string]
  ? string extends T
    ? 'a string'
    : 'one of the values of its enum: as const?'
  : Kind<T>;

/** What is wrong with an answer of type `R` where `A` is declared: a text for each field; never where all is well. */
type Wrong<R, A, Path extends string> =
  IsAny<R> extends true
    ? never
    : [unknown] extends [R]
      ? [unknown] extends [A]
        ? never
        : `${Path} is of an unknown type`
      : R extends unknown
        ? R extends PromiseLike<unknown>
          ? `${Path} is a promise: await it`
          : [R] extends [A]
            ? never
            : R extends Exclude<Anything, object>
              ? [R] extends [null | undefined | void]
                ? `${Path} may be missing`
                : WrongValue<R, Exclude<A, null | undefined>, Path>
              : WrongValue<R, Exclude<A, null | undefined>, Path>
        : never;

type WrongValue<R, A, Path extends string> = [Something] extends [A]
  ? WrongJson<R, Path>
  : [R, A] extends [AnyList, AnyList]
    ? Wrong<R[number & keyof R], A[number & keyof A], `${Path}[]`>
    : [R, A] extends [AnyList | AnyFunction, unknown] | [unknown, AnyList]
      ? `${Path} is ${Kind<R>}, not ${Declared<A>}`
      : [R, A] extends [object, object]
        ? WrongFields<R, A, Path>
        : `${Path} is ${Kind<R>}, not ${Declared<A>}`;

type WrongFields<R, A, Path extends string> = {
  [K in keyof A]-?: K extends keyof R
    ? Wrong<R[K], A[K], `${Path}.${K & string}`>
    : undefined extends A[K]
      ? never
      : `${Path}.${K & string} is missing`;
}[keyof A];

type WrongJson<R, Path extends string> = R extends AnyList
  ? Wrong<R[number], Json, `${Path}[]`>
  : R extends AnyFunction | symbol | bigint
    ? `${Path} is no JSON`
    : { [K in keyof R]-?: Wrong<Exclude<R[K], undefined>, Json, `${Path}.${K & string}`> }[keyof R];

/** Fields that are answered and not declared. n.b. schemas of other libraries may take more than they say. */
type Undeclared<R, O> =
  O extends ObjectType<infer F> ? UndeclaredIn<R, F> : O extends AnyType ? never : UndeclaredIn<R, O>;
type UndeclaredIn<R, F> = R extends AnyList
  ? never
  : R extends object
    ? string extends keyof R
      ? never
      : {
          [K in Exclude<keyof R, keyof F>]-?: [R[K]] extends [undefined] ? never : `.${K & string} is not declared`;
        }[Exclude<keyof R, keyof F>]
    : never;

type WrongAnswer<R, O> = [O] extends [undefined] ? Wrong<R, Json, ''> : Wrong<R, AnswerOf<O>, ''> | Undeclared<R, O>;

/** n.b. texts of their own: of those above the compiler prints the name of the type that made them, with all its arguments. */
type Text<T> = T extends `${infer Field}` ? `output${Field}` : never;

/**
 * The part of a contract that says what the operation answers. Where its code answers with something else, the compiler says here
 * which fields: what it says of two types that do not fit would be a page.
 */
export type OutputContract<O, R> = [WrongAnswer<R, O>] extends [never]
  ? { readonly output?: O }
  : { readonly output: Text<WrongAnswer<R, O>> };
