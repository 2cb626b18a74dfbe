import { defineErrors } from '#sdk/template';

/** Why a bundle is refused. Most of these are reported as findings, all of a step at once; few are ever thrown. */
export const admissionErrors = defineErrors({
  BEDS_ADMISSION_DIRECTORY_UNSAFE: {
    message: 'The plugin directory is not safe: others may write to it, or it is a link.',
    status: 'fault',
    action: 'Make plugins.directory a real directory (no symbolic link) that only its owner and group may write to.',
  },
  BEDS_ADMISSION_DIRECTORY_UNREADABLE: {
    message: 'The plugin directory, or something in it, cannot be read. Live versions go on.',
    status: 'fault',
    action:
      'Give the host permission to read and search plugins.directory and everything in it, or mount it again. ' +
      'Until then nothing counts as removed. `beds undeploy <domain>` ends a domain.',
  },
  BEDS_ADMISSION_DIRECTORY_REPLACED: {
    message: 'The plugin directory was replaced and lacks bundles that are live. They go on.',
    status: 'fault',
    action:
      'Mount the old one again, or put the bundles into the new one. `beds undeploy <domain>` ends a domain for good.',
  },
  BEDS_ADMISSION_DIRECTORY_EMPTIED: {
    message: 'All bundles disappeared from the plugin directory at once. Live versions go on.',
    status: 'fault',
    action: 'If that was an accident, put them back. `beds undeploy <domain>` ends a domain for good.',
  },
  BEDS_ADMISSION_FOLDER_EMPTIED: {
    message: 'The folder of a live bundle no longer holds a bundle. The domain goes on.',
    status: 'fault',
    action: 'Put the bundle back, or remove the whole folder. `beds undeploy <domain>` ends a domain for good.',
  },
  BEDS_ADMISSION_NAME_INVALID: {
    message: 'The name of the dropped file or folder is not allowed.',
    status: 'invalid',
    action: 'Use a letter or digit followed by at most 99 letters, digits, dots, hyphens and underscores.',
  },
  BEDS_ADMISSION_NOT_REGULAR: {
    message: 'The drop contains a symbolic link, a pipe, a device or a directory.',
    status: 'invalid',
    action: 'Copy plain files. A bundle folder has no subfolders.',
  },
  BEDS_ADMISSION_HARD_LINK: {
    message: 'A file of the drop is a hard link: it could change through its other name.',
    status: 'invalid',
    action: 'Copy the file instead of linking it.',
  },
  BEDS_ADMISSION_WRITABLE: {
    message: 'Everyone on this machine may write to the drop.',
    status: 'invalid',
    action: 'Remove the write permission for others (chmod o-w) and drop it again.',
  },
  BEDS_ADMISSION_UNREADABLE: {
    message: 'The host cannot read the drop.',
    status: 'invalid',
    action: 'Give the host read permission on the bundle and all its files.',
  },
  BEDS_ADMISSION_TOO_LARGE: {
    message: 'The bundle is larger than plugins.maxBundleBytes.',
    status: 'invalid',
    action: 'Remove what the build includes by accident, or raise plugins.maxBundleBytes.',
  },
  BEDS_ADMISSION_TOO_MANY_FILES: {
    message: 'The bundle holds more files than plugins.maxFiles.',
    status: 'invalid',
    action: 'Drop only what the build wrote, or raise plugins.maxFiles.',
  },
  BEDS_ADMISSION_FILE_EXTRA: {
    message: 'The bundle folder holds a file that its manifest does not name.',
    status: 'invalid',
    action: 'Delete the file, or build the template again into an empty folder.',
  },
  BEDS_ADMISSION_INCOMPLETE: {
    message: 'The drop stayed incomplete: its files do not match its manifest.',
    status: 'invalid',
    action: 'Copy the bundle again. If it was edited by hand, build it again.',
  },
  BEDS_ADMISSION_MANIFEST_MISSING: {
    message: 'The drop has no manifest.',
    status: 'invalid',
    action: 'Build the template with `beds build`. A plain module is not a bundle.',
  },
  BEDS_ADMISSION_MANIFEST_INVALID: {
    message: 'The manifest of the bundle is not valid.',
    status: 'invalid',
    action: 'Build the template with `beds build`. Do not write the manifest by hand.',
  },
  BEDS_ADMISSION_CONTRACT_UNSUPPORTED: {
    message: 'The bundle was built for another version of the host contract.',
    status: 'invalid',
    action: 'Build it with the SDK that belongs to this host.',
  },
  BEDS_ADMISSION_HASH_MISMATCH: {
    message: 'A file of the bundle does not match the hash in its manifest.',
    status: 'invalid',
    action: 'Copy the bundle again from where it was built.',
  },
  BEDS_ADMISSION_SYNTAX: {
    message: 'The code of the bundle is not valid JavaScript.',
    status: 'invalid',
    action: 'Correct it and build again. The build also checks the syntax.',
  },
  BEDS_ADMISSION_TOP_LEVEL_AWAIT: {
    message: 'The bundle uses top-level await.',
    status: 'invalid',
    action: 'Move the work into setup(), which may be async.',
  },
  BEDS_ADMISSION_IMPORT_FORBIDDEN: {
    message: 'The bundle imports a module that templates may not use.',
    status: 'invalid',
    action: 'Use ctx instead. sdk/README.md lists the allowed modules.',
  },
  BEDS_ADMISSION_IMPORT_DYNAMIC: {
    message: 'The bundle imports a module by a name that is computed at run time.',
    status: 'invalid',
    action: 'Import it by its name at the top of the file.',
  },
  BEDS_ADMISSION_IMPORT_META: {
    message: 'The bundle uses import.meta. In the host it has no file of its own.',
    status: 'invalid',
    action: 'Import data instead of reading files.',
  },
  BEDS_ADMISSION_EVAL: {
    message: 'The bundle creates code from text.',
    status: 'invalid',
    action: 'Write the code out. Templates may not use eval.',
  },
  BEDS_ADMISSION_PROCESS_FORBIDDEN: {
    message: 'A template tried to change or end the process, which all domains share.',
    status: 'forbidden',
    action: 'Throw an error to end a request. Only the host may end the process.',
  },
  BEDS_ADMISSION_LOAD_THROWS: {
    message: 'The code throws while it loads.',
    status: 'invalid',
    action: 'Correct the named line. Move work that may fail into setup().',
  },
  BEDS_ADMISSION_LOAD_TIMEOUT: {
    message: 'The code did not finish loading within plugins.probeTimeoutMs.',
    status: 'invalid',
    action: 'Look for an endless loop at the top level of the template.',
  },
  BEDS_ADMISSION_SELF_TEST_THROWS: {
    message: 'selfTest() failed.',
    status: 'invalid',
    action: 'Correct the named line, or the test.',
  },
  BEDS_ADMISSION_SELF_TEST_TIMEOUT: {
    message: 'selfTest() did not finish within plugins.probeTimeoutMs.',
    status: 'invalid',
    action: 'Test less, or raise plugins.probeTimeoutMs. selfTest() has no databases to wait for.',
  },
  BEDS_ADMISSION_UNHANDLED_REJECTION: {
    message: 'A promise was rejected and nobody handled it.',
    status: 'invalid',
    action: 'Await the promise or catch its error. In the host it counts as a fault of this version.',
  },
  BEDS_ADMISSION_EXITED: {
    message: 'The code ended the process it ran in.',
    status: 'invalid',
    action: 'Remove process.exit() and throw an error instead.',
  },
  BEDS_ADMISSION_MEMORY: {
    message: 'The code used more memory than plugins.probeMemoryMb while it loaded or tested itself.',
    status: 'invalid',
    action: 'Load less, or raise plugins.probeMemoryMb.',
  },
  BEDS_ADMISSION_ENDED_PROCESS: {
    message: 'The bundle ended the process that probed it.',
    status: 'fault',
    action:
      'Fix what crashes the process or takes all its memory while the bundle loads or tests itself. Drop it under a new version.',
  },
  BEDS_ADMISSION_PROBE_FAILED: {
    message: 'The probe thread ended without an answer.',
    status: 'fault',
    action: 'Drop the bundle again. If that fails too, read the cause in the log of the host.',
  },
  BEDS_ADMISSION_EXPORT_MISSING: {
    message: 'The bundle has no default export.',
    status: 'invalid',
    action: 'Write `export default defineDomain({ … })` in template.ts.',
  },
  BEDS_ADMISSION_EXPORT_INVALID: {
    message: 'The default export of the bundle is not a template.',
    status: 'invalid',
    action: 'Write `export default defineDomain({ … })` in template.ts.',
  },
  BEDS_ADMISSION_METHOD_MISSING: {
    message: 'The template lacks a method of NamasteCore.',
    status: 'invalid',
    action: 'Create the template with defineDomain, which supplies all four.',
  },
  BEDS_ADMISSION_OPERATION_MISMATCH: {
    message: 'The operations in the code differ from the manifest.',
    status: 'invalid',
    action: 'Build the template again: manifest and code must come from one build.',
  },
  BEDS_ADMISSION_DEFINITION_MISMATCH: {
    message: 'The definition in the code differs from the manifest.',
    status: 'invalid',
    action: 'Build the template again: manifest and code must come from one build.',
  },
  BEDS_ADMISSION_STORE_UNKNOWN: {
    message: 'The template uses a store that is not configured.',
    status: 'invalid',
    action: 'Add it to [stores] of the configuration, or correct the name in template.ts.',
  },
  BEDS_ADMISSION_STORE_UNAVAILABLE: {
    message: 'The objects of the store could not be read.',
    status: 'unavailable',
    retryable: true,
    action: 'Nothing is wrong with the bundle. It is checked again when the database answers.',
  },
  BEDS_ADMISSION_SUPERSEDED: {
    message: 'Another version of the same domain replaced this one.',
    status: 'conflict',
    action: 'Do nothing, or `beds deploy` this version if it should be live.',
  },
  BEDS_ADMISSION_STAGE_DAMAGED: {
    message: 'The staged copy of a bundle is missing or was changed.',
    status: 'fault',
    action: 'Drop the bundle again. The host makes a new copy.',
  },
  BEDS_ADMISSION_STAGE_UNWRITABLE: {
    message: 'The bundle could not be copied to the stage.',
    status: 'fault',
    retryable: true,
    action:
      'Check that state.directory exists, belongs to the account of the host and has space. Nothing is wrong with the bundle: the host tries again by itself.',
  },
  BEDS_ADMISSION_STATE_IN_USE: {
    message: 'Another host uses this state directory.',
    status: 'conflict',
    action: 'Stop the other host, or give each host its own state.directory.',
  },
  BEDS_ADMISSION_STATE_UNWRITABLE: {
    message: 'The file host.pid, which keeps a second host out of this directory, cannot be written.',
    status: 'fault',
    action: 'Check that state.directory exists, belongs to the account of the host and has space.',
  },
  BEDS_ADMISSION_HISTORY_UNWRITABLE: {
    message: 'The history of the domains cannot be written.',
    status: 'fault',
    action: 'Check that state.directory exists, belongs to the account of the host and has space.',
  },
});

export type AdmissionCode = keyof typeof admissionErrors.specs;
