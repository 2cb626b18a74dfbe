import { setTimeout as pause } from 'node:timers/promises';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, type LanguageModelV3, type LanguageModelV3StreamPart } from '@ai-sdk/provider';
import { type ModelAnswer, type ModelRequest, printable, type TokenUse } from '#sdk/cli';
import type { Config } from '../config/schema.js';
import { cliErrors } from '../errors/cli.js';

/**
 * A model behind HTTP, as [assistant] names it. The libraries speak the protocols; retries, bounds and what an endpoint does not
 * take are decided here, because theirs wait as long as an endpoint likes. The key goes into one header, and nowhere else.
 */

const ADDRESSES = { openai: 'https://api.openai.com/v1', anthropic: 'https://api.anthropic.com/v1' } as const;

const MOST_ATTEMPTS = 4;
const FIRST_WAIT_MS = 500;
const PROGRESS_MS = 2_000;
const MOST_SAID = 400;
/** Fewer leave no room for a document. */
const LEAST_ANSWER_TOKENS = 500;
/** Texts of these documents have three to four for a token: so no bound is passed for want of a count. */
const BYTES_OF_TOKEN = 3;
/** Of an endpoint that heeds no bound. */
const MOST_CHARACTERS_OF_TOKEN = 10;
/** A word that stands for a key where none is asked for may stand in an answer too. */
const LEAST_SECRET = 12;

const HIDDEN = '***';

/** What not every endpoint takes. */
type Feature = 'schema' | 'max_tokens' | 'stream_options';

export interface ModelPlace {
  readonly settings: Config['assistant'];
  readonly signal: AbortSignal;
  /** Takes a line about what goes on. */
  readonly note: (text: string) => void;
}

export class Model {
  readonly #place: ModelPlace;
  /** What this endpoint has refused once. */
  readonly #leftOut = new Set<Feature>();

  constructor(place: ModelPlace) {
    this.#place = place;
    if (!place.settings.structuredOutput) this.#leftOut.add('schema');
  }

  /** Throws BEDS_CLI_MODEL_*. */
  async ask(request: ModelRequest): Promise<ModelAnswer> {
    const { settings, note } = this.#place;
    const until = performance.now() + settings.timeoutMs;
    note(`${this.#host}: ${settings.model} is asked, with some ${thousands(tokensOf(request.prompt))} tokens.`);
    const late = AbortSignal.timeout(settings.timeoutMs);
    let { spent } = request;
    for (let attempt = 1; ;) {
      const most = this.#mostTokens(request, spent);
      const asked = await this.#once(request, most, AbortSignal.any([this.#place.signal, late]));
      if (asked.used !== undefined) {
        spent = added(spent, asked.used, settings);
        request.onSpent(spent);
      }
      if (asked.failure === undefined) {
        note(`${settings.model} has answered: ${inWords(spent, settings)} for this domain so far.`);
        return { text: this.#withoutKey(asked.text), end: asked.end };
      }
      const { failure } = asked;
      this.#place.signal.throwIfAborted();
      if (late.aborted) throw cliErrors.make('BEDS_CLI_MODEL_TIMEOUT', this.#lateText(asked.text));
      const feature = this.#notTaken(failure);
      if (feature !== undefined) {
        this.#leftOut.add(feature);
        note(`${this.#host} does not take ${feature === 'schema' ? 'a schema for answers' : feature}: without it.`);
        continue;
      }
      const why = this.#why(failure);
      if (!isPassing(failure)) throw cliErrors.make('BEDS_CLI_MODEL_REFUSED', why);
      const waitMs = waitOf(failure, attempt);
      if (attempt === MOST_ATTEMPTS)
        throw cliErrors.make(
          'BEDS_CLI_MODEL_UNAVAILABLE',
          `${why} That was the last of ${String(MOST_ATTEMPTS)} attempts.`,
        );
      if (waitMs >= until - performance.now()) {
        const message = `${why} It is to be asked again in ${seconds(waitMs)}, which is beyond assistant.timeoutMs.`;
        throw cliErrors.make('BEDS_CLI_MODEL_UNAVAILABLE', message);
      }
      note(`${why} Once more in ${seconds(waitMs)}.`);
      await pause(waitMs, undefined, { signal: this.#place.signal });
      attempt += 1;
    }
  }

  /** What an answer may have, so that nothing passes its bound. Throws BEDS_CLI_MODEL_BUDGET. */
  #mostTokens({ prompt, schema }: ModelRequest, spent: TokenUse): number {
    const { settings } = this.#place;
    const { maxAnswerTokens, maxTokens, maxCostUsd, inputUsdPerMillion, outputUsdPerMillion } = settings;
    const asked = tokensOf(prompt) + (this.#leftOut.has('schema') ? 0 : tokensOf(JSON.stringify(schema)));
    const left = maxTokens - spent.inputTokens - spent.outputTokens - asked;
    const leftUsd = maxCostUsd - spent.usd - (asked * inputUsdPerMillion) / 1_000_000;
    const bought = maxCostUsd === 0 ? Infinity : Math.floor((leftUsd * 1_000_000) / outputUsdPerMillion);
    const most = Math.min(maxAnswerTokens, left, bought);
    if (most >= LEAST_ANSWER_TOKENS) return most;
    const bound =
      bought < left ? `assistant.maxCostUsd of ${String(maxCostUsd)}` : `assistant.maxTokens of ${String(maxTokens)}`;
    const message = `The next prompt has some ${thousands(asked)} tokens; ${inWords(spent, settings)} so far, and ${bound} leaves no room for an answer.`;
    throw cliErrors.make('BEDS_CLI_MODEL_BUDGET', message);
  }

  async #once({ prompt, schema }: ModelRequest, most: number, signal: AbortSignal): Promise<Asked> {
    const { settings } = this.#place;
    const progress = new Progress(this.#place);
    const told = { text: '', characters: 0 };
    let isStarted = false;
    try {
      const { stream } = await this.#model().doStream({
        prompt: [{ role: 'user', content: [{ type: 'text', text: prompt }] }],
        maxOutputTokens: most,
        abortSignal: signal,
        providerOptions: { anthropic: { structuredOutputMode: 'outputFormat' } },
        ...(this.#leftOut.has('schema') ? {} : { responseFormat: { type: 'json', name: 'specification', schema } }),
      });
      isStarted = true;
      for await (const part of stream) {
        if (part.type === 'error')
          return { text: told.text, failure: part.error ?? 'an error without words', used: estimated(prompt, told) };
        if (part.type === 'finish') return { text: told.text, end: endOf(part), used: usedOf(part, prompt, told) };
        if (part.type !== 'text-delta' && part.type !== 'reasoning-delta') continue;
        told.characters += part.delta.length;
        if (part.type === 'text-delta') told.text += part.delta;
        progress.tell(told);
        if (told.characters > settings.maxAnswerTokens * MOST_CHARACTERS_OF_TOKEN)
          return { text: told.text, end: 'cut-off', used: estimated(prompt, told) };
      }
      signal.throwIfAborted();
      throw new TypeError('the answer has no end');
    } catch (error) {
      const failure = error ?? 'an error without words';
      return { text: told.text, failure, used: isStarted ? estimated(prompt, told) : undefined };
    }
  }

  /** n.b. without a value the libraries would look for keys and addresses in variables of their own. */
  #model(): LanguageModelV3 {
    const { provider, url, model, apiKey } = this.#place.settings;
    if (provider === 'anthropic')
      return createAnthropic({ baseURL: url === '' ? ADDRESSES.anthropic : url, apiKey, fetch: straight })(model);
    return createOpenAICompatible({
      name: 'openai',
      baseURL: url === '' ? ADDRESSES.openai : url,
      apiKey,
      fetch: straight,
      includeUsage: !this.#leftOut.has('stream_options'),
      supportsStructuredOutputs: true,
      transformRequestBody: ({ max_tokens, ...body }) =>
        this.#leftOut.has('max_tokens')
          ? { ...body, max_completion_tokens: max_tokens as unknown }
          : { ...body, max_tokens: max_tokens as unknown },
    })(model);
  }

  /** What the endpoint has refused the request for, as far as it can be done without. */
  #notTaken(failure: NonNullable<unknown>): Feature | undefined {
    if (!APICallError.isInstance(failure) || failure.statusCode === undefined) return undefined;
    const said = `${failure.message} ${failure.responseBody ?? ''}`;
    const isInvalid = failure.statusCode === 400 || failure.statusCode === 422;
    const features: readonly (readonly [Feature, boolean])[] = [
      ['max_tokens', isInvalid && said.includes('max_completion_tokens')],
      ['stream_options', isInvalid && /stream_options|include_usage/.test(said)],
      // n.b. a server that cannot make a grammar of it says so with 500, and some say nothing.
      ['schema', isInvalid || (failure.statusCode >= 500 && /schema|response_format|grammar/i.test(said))],
    ];
    return features.find(([feature, isMeant]) => isMeant && !this.#leftOut.has(feature))?.[0];
  }

  #why(failure: NonNullable<unknown>): string {
    const isCall = APICallError.isInstance(failure);
    const status = isCall ? failure.statusCode : undefined;
    const said =
      isCall && failure.data === undefined && (failure.responseBody ?? '') !== ''
        ? failure.responseBody
        : messageOf(failure);
    const told = printable(this.#withoutKey(said ?? '', 1))
      .slice(0, MOST_SAID)
      .replace(/\.$/, '');
    return status === undefined || status < 400
      ? `${this.#host} gives no whole answer: ${told}.`
      : `${this.#host} answers with ${String(status)}: ${told}.`;
  }

  #lateText(text: string): string {
    const { timeoutMs } = this.#place.settings;
    return `${this.#host} has not answered in full within ${seconds(timeoutMs)} (assistant.timeoutMs); ${thousands(text.length)} characters had come.`;
  }

  get #host(): string {
    const { provider, url } = this.#place.settings;
    return new URL(url === '' && provider !== 'files' ? ADDRESSES[provider] : url).host;
  }

  #withoutKey(text: string, least = LEAST_SECRET): string {
    const { apiKey } = this.#place.settings;
    return apiKey.length < least ? text : text.replaceAll(apiKey, HIDDEN);
  }
}

type Used = Pick<TokenUse, 'inputTokens' | 'outputTokens'>;

/** What came of one request, and what it has used as far as it was answered. */
type Asked =
  | { readonly text: string; readonly end: ModelAnswer['end']; readonly used: Used; readonly failure?: undefined }
  | { readonly text: string; readonly failure: NonNullable<unknown>; readonly used: Used | undefined };

type Finish = Extract<LanguageModelV3StreamPart, { readonly type: 'finish' }>;

/** What has come of an answer: thinking counts, and is not kept. */
interface Told {
  readonly text: string;
  readonly characters: number;
}

function endOf({ finishReason }: Finish): ModelAnswer['end'] {
  if (finishReason.unified === 'length') return 'cut-off';
  return finishReason.unified === 'content-filter' ? 'declined' : 'whole';
}

/** n.b. many servers count nothing where an answer is streamed. */
function usedOf({ usage }: Finish, prompt: string, told: Told): Used {
  const guess = estimated(prompt, told);
  return {
    inputTokens: usage.inputTokens.total ?? guess.inputTokens,
    outputTokens: usage.outputTokens.total ?? guess.outputTokens,
  };
}

function estimated(prompt: string, { characters }: Told): Used {
  return { inputTokens: tokensOf(prompt), outputTokens: Math.ceil(characters / BYTES_OF_TOKEN) };
}

function tokensOf(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / BYTES_OF_TOKEN);
}

function added(spent: TokenUse, used: Used, prices: Config['assistant']): TokenUse {
  const { inputUsdPerMillion, outputUsdPerMillion } = prices;
  const usd = (used.inputTokens * inputUsdPerMillion + used.outputTokens * outputUsdPerMillion) / 1_000_000;
  return {
    requests: spent.requests + 1,
    inputTokens: spent.inputTokens + used.inputTokens,
    outputTokens: spent.outputTokens + used.outputTokens,
    usd: spent.usd + usd,
  };
}

/** Whether it may be different the next time. */
function isPassing(failure: NonNullable<unknown>): boolean {
  if (!APICallError.isInstance(failure)) return true;
  const { statusCode: status = 0, message, responseBody = '' } = failure;
  if (status < 400) return !message.includes('redirect');
  // n.b. an account without money answers 429 too.
  if (responseBody.includes('insufficient_quota')) return false;
  return status === 408 || status === 409 || status === 425 || status === 429 || status >= 500;
}

/** As long as the endpoint says, or twice as long as the last time, give or take what keeps callers apart. */
function waitOf(failure: NonNullable<unknown>, attempt: number): number {
  const headers = APICallError.isInstance(failure) ? (failure.responseHeaders ?? {}) : {};
  const [inMs, after = ''] = [Number(headers['retry-after-ms'] ?? Number.NaN), headers['retry-after']];
  if (Number.isFinite(inMs)) return Math.max(0, inMs);
  if (/^\d+(\.\d+)?$/.test(after)) return Number(after) * 1_000;
  const at = Date.parse(after);
  if (!Number.isNaN(at)) return Math.max(0, at - Date.now());
  return FIRST_WAIT_MS * 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
}

function messageOf(failure: NonNullable<unknown>): string {
  if (failure instanceof Error) return failure.message;
  if (typeof failure === 'object' && 'message' in failure) return String(failure.message);
  return typeof failure === 'string' ? failure : JSON.stringify(failure);
}

function inWords({ inputTokens, outputTokens, usd }: TokenUse, { maxTokens, maxCostUsd }: Config['assistant']): string {
  const cost = usd === 0 ? '' : `, ${usd.toFixed(4)} USD${maxCostUsd === 0 ? '' : ` of ${String(maxCostUsd)}`}`;
  return `${thousands(inputTokens + outputTokens)} of ${thousands(maxTokens)} tokens${cost}`;
}

function thousands(count: number): string {
  return count.toLocaleString('en');
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toLocaleString('en', { maximumFractionDigits: 1 })} s`;
}

const PARTS = /"(records|queries|actions|examples|covers|assumptions|questions)"\s*:/g;

/** Says that something comes: at once, and then from time to time. */
class Progress {
  readonly #place: ModelPlace;
  #nextAt = 0;

  constructor(place: ModelPlace) {
    this.#place = place;
  }

  tell({ text, characters }: Told): void {
    const now = performance.now();
    if (now < this.#nextAt) return;
    this.#nextAt = now + PROGRESS_MS;
    const part = [...text.matchAll(PARTS)].at(-1)?.[1];
    const where = text === '' ? ', thinking' : part === undefined ? '' : `, at its ${part}`;
    this.#place.note(`${this.#place.settings.model}: ${thousands(characters)} characters${where} …`);
  }
}

/** n.b. fetch takes every header but Authorization along to where it is sent on. */
const straight: typeof fetch = (input, init) => fetch(input, { ...init, redirect: 'error' });
