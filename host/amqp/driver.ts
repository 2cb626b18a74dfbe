import { createRequire } from 'node:module';
import type * as Amqplib from 'amqplib';
import { installHeaderGuard } from './header-guard.js';

// n.b. amqplib binds its decoder when it is loaded, so the guard has to come first: hence no static import of it here.
installHeaderGuard();
const amqplib = createRequire(import.meta.url)('amqplib') as typeof Amqplib;

/** amqplib's promise API, with the header guard in front of its decoder. */
export const connect = amqplib.connect;
