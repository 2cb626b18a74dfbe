import { defineErrors } from '@beds/sdk';

/** Why a host does not answer a question, or does not carry out an order, of an operator. */
export const operateErrors = defineErrors({
  BEDS_OPERATE_INVALID: {
    message: 'The host cannot read the question or order.',
    status: 'invalid',
    action: 'Ask with the `beds` of the same release as the host; host/OPERATIONS.md describes the messages.',
  },
  BEDS_OPERATE_TOO_LARGE: {
    message: 'The question or order is larger than the host reads.',
    status: 'invalid',
    action: 'Deploy fewer bundles at once; plugins.maxBundleBytes bounds each of them.',
  },
  BEDS_OPERATE_BUSY: {
    message: 'Too many questions or orders wait for this node.',
    status: 'overloaded',
    retryable: true,
    action: 'Ask again in a moment.',
  },
  BEDS_OPERATE_TIMEOUT: {
    message: 'The node did not accept the order in time; it may still do so.',
    status: 'timeout',
    action: 'Look at `beds status` and `beds history` before you repeat the order.',
  },
  BEDS_OPERATE_NOT_READY: {
    message: 'The node is starting or stopping and does not take orders.',
    status: 'unavailable',
    retryable: true,
    action: 'Wait until `beds status` shows its threads ready.',
  },
  BEDS_OPERATE_FAULT: {
    message: 'The node failed in a way that it does not expect.',
    status: 'fault',
    action: 'The log of the node has the error and its stack.',
  },
});
