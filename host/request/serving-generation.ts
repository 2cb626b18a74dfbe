import { compileChecker, type ServedBy, type Template, type ValuesChecker } from '@beds/sdk';
import type { StoreAdapter } from '../stores/contract.js';
import { encodeServedBy } from './encode.js';
import type { GenerationSource } from '../template/contract.js';
import { LoadedGeneration } from '../template/loaded-generation.js';
import type { CallerBook } from './callers.js';
import { compileOperations, type Operation } from './operation.js';
import { RequestCounts } from './request-counts.js';
import { SharedReads } from './shared-reads.js';

export interface Serving {
  readonly node: string;
  readonly adapter: StoreAdapter;
  readonly callers: CallerBook;
}

/** A loaded generation with what the request path needs of it, prepared once. */
export class ServingGeneration extends LoadedGeneration {
  readonly operations: ReadonlyMap<string, Operation>;
  readonly adapter: StoreAdapter;
  readonly by: ServedBy;
  readonly byJson: string;
  readonly counts = new RequestCounts();
  /** Checkers of routine arguments, by alias. */
  readonly checkers: ReadonlyMap<string, ValuesChecker>;
  /** Aliases of views whose reads may be shared. */
  readonly sharedViews: ReadonlySet<string>;
  readonly sharedReads = new SharedReads();

  constructor(source: GenerationSource, template: Template, serving: Serving) {
    super(source, template);
    this.operations = compileOperations(template, source.manifest, serving.callers);
    this.adapter = serving.adapter;
    this.by = { node: serving.node, domain: this.domain, version: this.version, generation: this.id };
    this.byJson = encodeServedBy(this.by);
    this.checkers = new Map(
      Object.entries(source.manifest.objects).flatMap(([alias, object]) =>
        object.kind === 'routine' ? [[alias, compileChecker(object.args)] as const] : [],
      ),
    );
    this.sharedViews = new Set(
      Object.entries(source.manifest.objects).flatMap(([alias, object]) =>
        object.kind === 'view' && object.share === true ? [alias] : [],
      ),
    );
  }
}
