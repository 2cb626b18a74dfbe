import { defineErrors } from '#sdk/template';

/** Why a template's named objects do not fit the database (the swap path). A template waits until the DBA delivers. */
export const preflightErrors = defineErrors({
  BEDS_PREFLIGHT_OBJECT_MISSING: {
    message: 'The object does not exist in the database, or the runtime account may not see it.',
    status: 'not-found',
    action: 'Create the object and grant it to the runtime account. The template then activates by itself.',
  },
  BEDS_PREFLIGHT_KIND_MISMATCH: {
    message: 'The object is of another kind than the template declares.',
    status: 'invalid',
    action: 'Use a view as a view and a routine as a routine.',
  },
  BEDS_PREFLIGHT_ARGUMENT_UNKNOWN: {
    message: 'The template names an argument that the routine does not have.',
    status: 'invalid',
    action: 'Correct the name in the template, or add the parameter to the routine.',
  },
  BEDS_PREFLIGHT_ARGUMENT_MISSING: {
    message: 'The routine takes an argument that the template does not name.',
    status: 'invalid',
    action: 'Add the argument to the template.',
  },
  BEDS_PREFLIGHT_TYPE_MISMATCH: {
    message: 'The template and the database disagree about a type.',
    status: 'invalid',
    action: 'Declare the type that the database uses.',
  },
  BEDS_PREFLIGHT_COLUMN_MISSING: {
    message: 'The template names a column that the view does not have.',
    status: 'invalid',
    action: 'Correct the name in the template, or add the column to the view.',
  },
  BEDS_PREFLIGHT_GRANT_MISSING: {
    message: 'The runtime account may see the object but not use it.',
    status: 'forbidden',
    action: 'Grant EXECUTE or SELECT on the object to the runtime account.',
  },
  BEDS_PREFLIGHT_NOT_SUPPORTED: {
    message: 'The object uses something that BEDS cannot serve.',
    status: 'invalid',
    action: 'Change the object as the message says.',
  },
  BEDS_PREFLIGHT_UNINDEXED: {
    message: 'No index serves filters or orders of a view that callers fetch.',
    status: 'invalid',
    action:
      'Add an index, or leave the column out of the view. `unindexed` of the store says what becomes of such versions.',
  },
  BEDS_SCHEMA_CHANGED: {
    message: 'An object that a live version uses was changed after the version was admitted. It still fits.',
    status: 'conflict',
    action: 'Do nothing if the change was intended. The version uses the changed object.',
  },
});
