import { defineErrors } from '@beds/sdk';

/** Why a bundle is refused. Most of these are reported as findings, all of a step at once; few are ever thrown. */
export const admissionErrors = defineErrors({
  BEDS_ADMISSION_DIRECTORY_UNSAFE: {
    message: 'The plugin directory cannot be trusted.',
    status: 'fault',
    action: 'Make plugins.directory a real directory (no symbolic link) that only its owner and group may write to.',
  },
  BEDS_ADMISSION_DIRECTORY_UNREADABLE: {
    message: 'The plugin directory, or something in it, cannot be looked at; what serves goes on.',
    status: 'fault',
    action:
      'Give the account of the host the right to read and search plugins.directory and all that is in it, or mount it ' +
      'again. Nothing is taken for removed meanwhile; `beds undeploy <domain>` ends a domain.',
  },
  BEDS_ADMISSION_DIRECTORY_REPLACED: {
    message: 'The plugin directory is another one than before and lacks bundles that serve; they go on.',
    status: 'fault',
    action: 'Mount it again or put the bundles into the new one; `beds undeploy <domain>` ends a domain for good.',
  },
  BEDS_ADMISSION_DIRECTORY_EMPTIED: {
    message: 'All bundles went from the plugin directory at once; what serves goes on.',
    status: 'fault',
    action: 'Put them back where that was an accident; `beds undeploy <domain>` ends a domain for good.',
  },
  BEDS_ADMISSION_FOLDER_EMPTIED: {
    message: 'A folder whose bundle serves holds no bundle any more; the domain goes on.',
    status: 'fault',
    action: 'Put the bundle back, or remove the whole folder; `beds undeploy <domain>` ends a domain for good.',
  },
  BEDS_ADMISSION_NAME_INVALID: {
    message: 'The name of the drop is not allowed.',
    status: 'invalid',
    action: 'Use a letter or digit followed by at most 99 letters, digits, dots, hyphens and underscores.',
  },
  BEDS_ADMISSION_NOT_REGULAR: {
    message: 'The drop holds something that is not a plain file: a symbolic link, a pipe, a device or a directory.',
    status: 'invalid',
    action: 'Copy the files themselves; a bundle folder is flat.',
  },
  BEDS_ADMISSION_HARD_LINK: {
    message: 'A file of the drop has a second name elsewhere, through which it could change.',
    status: 'invalid',
    action: 'Copy the file instead of linking it.',
  },
  BEDS_ADMISSION_WRITABLE: {
    message: 'Everyone on this machine may write to the drop.',
    status: 'invalid',
    action: 'Take the write permission for others away (chmod o-w) and drop it again.',
  },
  BEDS_ADMISSION_UNREADABLE: {
    message: 'The host may not read the drop.',
    status: 'invalid',
    action: 'Give the account of the host read permission on the bundle and all its files.',
  },
  BEDS_ADMISSION_TOO_LARGE: {
    message: 'The bundle is larger than plugins.maxBundleBytes.',
    status: 'invalid',
    action: 'Find what the build pulls in by accident, or raise plugins.maxBundleBytes.',
  },
  BEDS_ADMISSION_TOO_MANY_FILES: {
    message: 'The bundle holds more files than plugins.maxFiles.',
    status: 'invalid',
    action: 'Drop what the build made and nothing else, or raise plugins.maxFiles.',
  },
  BEDS_ADMISSION_FILE_EXTRA: {
    message: 'The bundle folder holds a file that its manifest does not name.',
    status: 'invalid',
    action: 'Remove the file, or build the template again into an empty folder.',
  },
  BEDS_ADMISSION_INCOMPLETE: {
    message: 'The drop stayed incomplete: its bytes are not those that its manifest names.',
    status: 'invalid',
    action: 'Copy the bundle again; if it was edited by hand, build it again.',
  },
  BEDS_ADMISSION_MANIFEST_MISSING: {
    message: 'The drop has no manifest.',
    status: 'invalid',
    action: 'Build the template with `beds build`; a plain module is not a bundle.',
  },
  BEDS_ADMISSION_MANIFEST_INVALID: {
    message: 'The manifest of the bundle is not valid.',
    status: 'invalid',
    action: 'Build the template with `beds build`; do not write the manifest by hand.',
  },
  BEDS_ADMISSION_CONTRACT_UNSUPPORTED: {
    message: 'The bundle was built for another version of the contract between host and template.',
    status: 'invalid',
    action: 'Build it with the SDK that belongs to this host.',
  },
  BEDS_ADMISSION_HASH_MISMATCH: {
    message: 'A file of the bundle does not have the bytes that its manifest names.',
    status: 'invalid',
    action: 'Copy the bundle again from where it was built.',
  },
  BEDS_ADMISSION_SYNTAX: {
    message: 'The code of the bundle is not valid JavaScript.',
    status: 'invalid',
    action: 'Correct it and build again; the build checks the syntax too.',
  },
  BEDS_ADMISSION_TOP_LEVEL_AWAIT: {
    message: 'The bundle awaits something while it loads.',
    status: 'invalid',
    action: 'Move the work into setup(), which may wait.',
  },
  BEDS_ADMISSION_IMPORT_FORBIDDEN: {
    message: 'The bundle imports a module that templates may not use.',
    status: 'invalid',
    action: 'Use what ctx offers instead; the SDK lists the modules that are allowed.',
  },
  BEDS_ADMISSION_IMPORT_DYNAMIC: {
    message: 'The bundle loads a module by a name that is only known when it runs.',
    status: 'invalid',
    action: 'Import what is needed at the top of the file, by its name.',
  },
  BEDS_ADMISSION_IMPORT_META: {
    message: 'The bundle asks where its own file is; in the host it has none.',
    status: 'invalid',
    action: 'Import data instead of reading it from beside the code.',
  },
  BEDS_ADMISSION_EVAL: {
    message: 'The bundle makes code from text.',
    status: 'invalid',
    action: 'Write the code out; eval is not available to templates.',
  },
  BEDS_ADMISSION_PROCESS_FORBIDDEN: {
    message: 'A template tried to act on the process that it shares with every other domain.',
    status: 'forbidden',
    action: 'Throw an error to end a request; the host decides about the process.',
  },
  BEDS_ADMISSION_LOAD_THROWS: {
    message: 'The code throws while it loads.',
    status: 'invalid',
    action: 'Correct the line that is named; move work that may fail into setup().',
  },
  BEDS_ADMISSION_LOAD_TIMEOUT: {
    message: 'The code did not finish loading within plugins.probeTimeoutMs.',
    status: 'invalid',
    action: 'Look for an endless loop at the top level of the template.',
  },
  BEDS_ADMISSION_SELF_TEST_THROWS: {
    message: 'selfTest() failed.',
    status: 'invalid',
    action: 'Correct the line that is named, or the test.',
  },
  BEDS_ADMISSION_SELF_TEST_TIMEOUT: {
    message: 'selfTest() did not finish within plugins.probeTimeoutMs.',
    status: 'invalid',
    action: 'Test less, or raise plugins.probeTimeoutMs. selfTest() has no databases to wait for.',
  },
  BEDS_ADMISSION_UNHANDLED_REJECTION: {
    message: 'A promise was rejected and nobody handled it.',
    status: 'invalid',
    action: 'Await the promise, or catch its error; in the host it counts as a fault of this version.',
  },
  BEDS_ADMISSION_EXITED: {
    message: 'The code ended the process it ran in.',
    status: 'invalid',
    action: 'Remove process.exit(); throw an error instead.',
  },
  BEDS_ADMISSION_MEMORY: {
    message: 'The code used more memory than plugins.probeMemoryMb while it loaded or tested itself.',
    status: 'invalid',
    action: 'Load less, or raise plugins.probeMemoryMb.',
  },
  BEDS_ADMISSION_ENDED_PROCESS: {
    message: 'The bundle ended the process that tried it.',
    status: 'fault',
    action:
      'Find what crashes the process or takes all its memory while the bundle loads or tests itself, mend it and drop it under a new version.',
  },
  BEDS_ADMISSION_PROBE_FAILED: {
    message: 'The probe thread ended without an answer.',
    status: 'fault',
    action: 'Drop the bundle again; if it happens again, look at the log of the host for the cause.',
  },
  BEDS_ADMISSION_EXPORT_MISSING: {
    message: 'The bundle has no default export.',
    status: 'invalid',
    action: 'Write `export default defineTemplate({ … })` in template.ts.',
  },
  BEDS_ADMISSION_EXPORT_INVALID: {
    message: 'The default export of the bundle is not a template.',
    status: 'invalid',
    action: 'Write `export default defineTemplate({ … })` in template.ts.',
  },
  BEDS_ADMISSION_METHOD_MISSING: {
    message: 'The template lacks a method of NamasteCore.',
    status: 'invalid',
    action: 'Make the template with defineTemplate, which supplies all four.',
  },
  BEDS_ADMISSION_OPERATION_MISMATCH: {
    message: 'The operations of the code are not those of its manifest.',
    status: 'invalid',
    action: 'Build the template again; manifest and code come from the same build.',
  },
  BEDS_ADMISSION_DEFINITION_MISMATCH: {
    message: 'The code describes itself otherwise than its manifest does.',
    status: 'invalid',
    action: 'Build the template again; manifest and code come from the same build.',
  },
  BEDS_ADMISSION_STORE_UNKNOWN: {
    message: 'The template wants a store that is not configured.',
    status: 'invalid',
    action: 'Add it to [stores] of the configuration, or correct the name in template.ts.',
  },
  BEDS_ADMISSION_STORE_UNAVAILABLE: {
    message: 'The store could not be asked for its objects.',
    status: 'unavailable',
    retryable: true,
    action: 'Nothing is wrong with the bundle; it is checked again when the database answers.',
  },
  BEDS_ADMISSION_SUPERSEDED: {
    message: 'Another version of the same domain took the place of this one.',
    status: 'conflict',
    action: 'Nothing need be done; where this one should serve, `beds deploy` it.',
  },
  BEDS_ADMISSION_STAGE_DAMAGED: {
    message: 'The staged copy of a bundle is gone or was changed.',
    status: 'fault',
    action: 'Drop the bundle again; the host makes a new copy.',
  },
  BEDS_ADMISSION_STAGE_UNWRITABLE: {
    message: 'The bundle could not be copied to the stage.',
    status: 'fault',
    retryable: true,
    action: 'Check that state.directory exists, belongs to the account of the host, and has space.',
  },
  BEDS_ADMISSION_STATE_IN_USE: {
    message: 'Another host keeps its stage and its history in this directory.',
    status: 'conflict',
    action: 'Stop the other host, or give each host of a checkout its own state.directory.',
  },
  BEDS_ADMISSION_STATE_UNWRITABLE: {
    message: 'The file host.pid, which keeps a second host out of this directory, cannot be written.',
    status: 'fault',
    action: 'Check that state.directory exists, belongs to the account of the host, and has space.',
  },
  BEDS_ADMISSION_HISTORY_UNWRITABLE: {
    message: 'The history of the domains cannot be written.',
    status: 'fault',
    action: 'Check that state.directory exists, belongs to the account of the host, and has space.',
  },
});

export type AdmissionCode = keyof typeof admissionErrors.specs;
