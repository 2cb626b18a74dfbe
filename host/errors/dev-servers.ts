import { defineErrors } from '#sdk/template';

/** What can go wrong with the private servers of development and tests. */
export const servicesErrors = defineErrors({
  BEDS_SERVICES_UNAVAILABLE: {
    message: 'A server that BEDS needs is not installed and could not be downloaded.',
    status: 'unavailable',
    action: 'Run the command that the message names, or set the BEDS_*_URL variable to a server that you run.',
  },
  BEDS_SERVICES_SET_UNKNOWN: {
    message: 'There are no servers of that name.',
    status: 'invalid',
    action: 'Name servers that the message lists, in BEDS_SERVERS or with --servers.',
  },
  BEDS_SERVICES_START_FAILED: {
    message: 'A private server did not start.',
    status: 'unavailable',
    retryable: true,
    action: 'Read the end of its log in the message. The whole log is beside its data under .beds/.',
  },
  BEDS_SERVICES_BUSY: {
    message: 'Another command is still starting the private servers of this directory.',
    status: 'unavailable',
    retryable: true,
    action: 'Wait for the other command, or stop it and try again.',
  },
  BEDS_SERVICES_NOT_OWNED: {
    message: 'Another command started this server, so this command may not stop or restart it.',
    status: 'forbidden',
    action: 'Stop it where it was started.',
  },
  BEDS_SERVICES_COMMAND_FAILED: {
    message: 'A helper program of the private servers failed.',
    status: 'unavailable',
    retryable: true,
    action: 'The message shows the program and its output. Run it by hand to see more.',
  },
  BEDS_SERVICES_COMMAND_TIMEOUT: {
    message: 'A helper program of the private servers took too long.',
    status: 'unavailable',
    retryable: true,
    action: 'Start again when the machine is less busy. Run the program that the message names by hand to see more.',
  },
  BEDS_SERVICES_DOWNLOAD_MISMATCH: {
    message: 'A downloaded file of a private server does not have the expected checksum.',
    status: 'unavailable',
    action:
      'Find out what changed it (a mirror, a proxy). Then delete the folder that the message names and start again.',
  },
  BEDS_SERVICES_URL_INVALID: {
    message: 'The URL of a server is not valid.',
    status: 'invalid',
    action: 'Correct the BEDS_*_URL variable that the message names.',
  },
  BEDS_SERVICES_ABORTED: {
    message: 'The start of the private servers was cancelled.',
    status: 'unavailable',
    retryable: true,
    action: 'Start again.',
  },
});
